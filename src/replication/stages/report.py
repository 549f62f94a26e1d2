"""Tables, figures, summary and page of a profile from its result files."""

import argparse
import json
import shutil
from pathlib import Path

import pandas as pd

from replication.report import sweep
from replication.report.cells import KEYS, SETTING, Cells, read_cells
from replication.report.datasets import TABLE_5, dataset_statistics, statistics_grid
from replication.report.figures import draw_all, draw_sweep
from replication.report.grid import Grid, latex, markdown
from replication.report.layouts import (
    diagnostics_grid,
    differences_grid,
    glance_grid,
    paper_grid,
    results_grid,
    second_grid,
)
from replication.report.page import absence_sentence, render, verdict_sentences
from replication.report.statistics import count_verdicts, diagnostics
from replication.report.tables import Table, tables_of, tidy
from replication.settings import expected_cells, load
from replication.stages.files import write_json, write_text


def report(cells: Cells, folder: Path) -> pd.DataFrame:
    """Write tables/, figures/, summary.json and report.html into results/<profile>, anew.

    Returns the frame of tables.tidy that they show, without the sweep's rows.
    """
    frame, swept = sweep.split(tidy(cells), cells)
    for part in ("tables", "figures"):
        shutil.rmtree(folder / part, ignore_errors=True)
    done = diagnostics(cells)
    glance, refiner = glance_grid(frame), diagnostics_grid(done)
    sections = [(table, _grids(table, frame, cells)) for table in tables_of(frame)]
    for table, grids in sections:
        rows = frame[frame["table"] == table.number]
        write_text(folder / "tables" / f"{table.name}.csv", rows.to_csv(index=False))
        _write(folder / "tables" / table.name, grids)
    if not swept.empty:
        sections.append((sweep.TABLE, [sweep.sweep_grid(swept)]))
        write_text(folder / "tables" / f"{sweep.TABLE.name}.csv", swept.to_csv(index=False))
        _write(folder / "tables" / sweep.TABLE.name, sections[-1][1])
    datasets = dataset_statistics(cells)
    sections.append((TABLE_5, [statistics_grid(datasets)]))
    write_text(folder / "tables" / "table5.csv", datasets.to_csv(index=False))
    _write(folder / "tables" / "table5", sections[-1][1])
    _write(folder / "tables" / "glance", [glance])
    write_text(folder / "tables" / "readme.md", _brief(frame))
    write_text(folder / "tables" / "diagnostics.csv", done.to_csv(index=False))
    _write(folder / "tables" / "diagnostics", [refiner])
    write_json(folder / "summary.json", summary(frame))
    figures = draw_all(frame, _toy(folder / "toy.json"), folder / "figures")
    figures += draw_sweep(swept, folder / "figures")
    page = render(cells, frame, glance, sections, refiner, figures)
    write_text(folder / "report.html", page)
    return frame


def _brief(frame: pd.DataFrame) -> str:
    """The verdicts in words and, folded, the table at a glance without what nobody has run."""
    sentences = [*verdict_sentences(frame), absence_sentence(frame)]
    ran = frame[frame.groupby(SETTING)["run"].transform("any")]
    lines = "\n".join(f"- {sentence}" for sentence in sentences if sentence)
    table = markdown(glance_grid(frame if ran.empty else ran))
    return f"{lines}\n\n<details>\n<summary>Every difference</summary>\n\n{table}\n</details>\n"


def summary(frame: pd.DataFrame) -> dict:
    """Verdict counts and, per SAFLEX cell with a gain, its difference in points; for `dvc metrics`.

    frame: of tables.tidy.
    """
    readings = frame[frame["role"] == "reading"].drop_duplicates(KEYS)
    known = readings.dropna(subset="difference")
    return {
        "verdicts": count_verdicts(readings),
        "difference": {
            "-".join(row[key] for key in KEYS[1:]): round(row["difference"], 3)
            for row in known.to_dict("records")
        },
    }


def readme_table(profile_folder: Path | str) -> str:
    """The README's block for results/<profile>: the verdicts in words and the table at a glance.

    FileNotFoundError if the report has not been computed.
    """
    path = Path(profile_folder) / "tables" / "readme.md"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; `dvc repro` makes it")
    return path.read_text(encoding="utf-8")


def _grids(table: Table, frame: pd.DataFrame, cells: Cells) -> list[Grid]:
    grids = [
        results_grid(table, frame),
        differences_grid(table, frame),
        second_grid(table, frame, cells),
    ]
    return [*grids, paper_grid(table)] if table.number.isdigit() else grids


def _write(path: Path, grids: list[Grid]) -> None:
    write_text(path.with_suffix(".md"), "\n".join(markdown(grid) for grid in grids))
    write_text(path.with_suffix(".tex"), "\n".join(latex(grid) for grid in grids))


def _toy(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", help="a profile of params.yaml; the active one by default")
    settings = load(profile=parser.parse_args().profile)
    folder = Path("results") / settings.run.name
    cells = read_cells(folder, expected_cells(settings))
    print(folder / "report.html", *verdict_sentences(report(cells, folder)), sep="\n")


if __name__ == "__main__":
    main()
