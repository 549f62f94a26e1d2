"""What each table of a profile consists of, by the names in `settings.profile.Tables`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from replication.files import write_text
from replication.report import (
    apart,
    datasets,
    figures,
    finetuning,
    generated,
    planted,
    readings,
    steering,
    tables,
    validation,
)
from replication.report.frames import KEYS, Cells
from replication.report.glance import glance_grid, verdict_sentences
from replication.report.grid import Grid, latex, markdown
from replication.report.layouts import differences_grid, paper_grid, results_grid, second_grid
from replication.report.outcome import outcome_sentences
from replication.report.statistics import count_verdicts
from replication.report.tables import Table


@dataclass(frozen=True)
class Section:
    """A table with everything of it.

    heading: short; frame: what its CSV has; grids: none if the profile has no cell of a table
    beyond the paper's; sentences: its verdicts; brief: its gains in a line each, for the page.
    """

    name: str
    heading: str
    caption: str
    frame: pd.DataFrame
    grids: list[Grid]
    figures: list[figures.Drawn]
    sentences: list[str] = field(default_factory=list)
    brief: Grid | None = None

    @property
    def begun(self) -> bool:
        """Whether there is something to read in it."""
        return any(grid.run for grid in self.grids if not grid.aside)

    @property
    def views(self) -> list[Grid]:
        """What the page shows of it, one at a time: the gains, then the scores and the rest."""
        rest = sorted(self.grids, key=lambda grid: grid.aside)
        return [grid for grid in (self.brief, *rest) if grid is not None]

    @cached_property
    def planned(self) -> pd.DataFrame:
        """The rows of its cells, each once; empty for a table of something else."""
        if {*KEYS, "run"} <= {*self.frame}:
            return self.frame.drop_duplicates(KEYS)
        return self.frame.iloc[:0].reindex(columns=[*KEYS, "run", "role", "verdict"])

    @property
    def unsaid(self) -> list[str]:
        """Its sentences that are in no note of a grid."""
        notes = {note for grid in self.grids for note in grid.notes}
        return [sentence for sentence in self.sentences if sentence not in notes]

    @property
    def run(self) -> int:
        return int(self.planned["run"].sum())

    @property
    def verdicts(self) -> dict[str, int]:
        """How many readings got each verdict that any got, but for what was not run."""
        counts = count_verdicts(self.planned[self.planned["role"] == "reading"])
        return {name: n for name, n in counts.items() if n and name != "not run"}

    def write(self, folder: Path) -> None:
        """<name>.csv, .md and .tex, and its figures."""
        write_text(folder / f"{self.name}.csv", self.frame.to_csv(index=False))
        write_grids(folder / self.name, self.grids)
        for drawn in self.figures:
            drawn.save(folder)


@dataclass(frozen=True)
class Report:
    """A profile's cells and what is known of them.

    frame: of tables.tidy, without the cells of altered validation sets, swept, and those of a study
    of readings, studied.
    """

    cells: Cells
    frame: pd.DataFrame
    swept: pd.DataFrame
    studied: pd.DataFrame

    @classmethod
    def of(cls, cells: Cells) -> "Report":
        frame, swept = validation.split(tables.tidy(cells), cells)
        frame, studied = readings.split(frame, cells)
        return cls(cells, frame, swept, studied)


def write_grids(path: Path, grids: list[Grid]) -> None:
    """<path>.md and <path>.tex."""
    write_text(path.parent / f"{path.name}.md", "\n".join(markdown(grid) for grid in grids))
    write_text(path.parent / f"{path.name}.tex", "\n".join(latex(grid) for grid in grids))


def _of_paper(table: Table) -> Callable[[Report], Section]:
    def build(report: Report) -> Section:
        caption = f"{table.heading}. {table.title}"
        return _scores(report, table.name, table.heading, caption, [table])

    return build


def _tuned(report: Report) -> Section:
    """A table of fine-tuning, with its methods beside each other and the weights between."""
    (table,) = (table for table in tables.TABLES if table.name == finetuning.NAME)
    section = _of_paper(table)(report)
    if report.cells.grid.merge(section.frame, on=KEYS).empty:
        return section
    first, *rest = section.grids
    beside = finetuning.methods_grid(table, report.cells)
    drawn = figures.of_interpolation(finetuning.curves(report.cells), report.cells.legend)
    return replace(section, grids=[first, beside, *rest], figures=[*drawn, *section.figures])


def _made(report: Report) -> Section:
    """A table of images that diffusion models make, with what they show."""
    (table,) = (table for table in tables.TABLES if table.name == generated.NAME)
    section = _of_paper(table)(report)
    rows = generated.shown(table, report.cells)
    if rows.empty:
        return section
    first, *rest = section.grids
    beside = generated.shown_grid(table, rows, report.cells)
    drawn = figures.of_sheets(table, report.cells)
    return replace(section, grids=[first, beside, *rest], figures=[*drawn, *section.figures])


def _further(report: Report) -> Section:
    found = tables.further(report.cells)
    title = " and ".join(table.title for table in found) or "Upstreams beyond the paper's"
    return _scores(report, "further", title, title, found)


def _scores(report: Report, name: str, heading: str, caption: str, of: list[Table]) -> Section:
    frame, cells = report.frame, report.cells
    grids = [grid for table in of for grid in _grids(table, frame, cells)]
    drawn = [figure for t in of for figure in figures.of_table(t, frame, cells.legend)]
    rows = frame[frame["table"].isin([table.name for table in of])]
    said = verdict_sentences(rows, cells.legend)
    brief = _brief(name, rows, cells)
    return Section(name, heading, caption, rows.drop(columns="column"), grids, drawn, said, brief)


def _brief(name: str, rows: pd.DataFrame, cells: Cells) -> Grid | None:
    """The gains of what was run of a table's methods. rows: of tables.tidy."""
    ran = rows[rows.groupby("refiner")["run"].transform("any")]
    return None if ran.empty else glance_grid(ran, cells.legend, f"{name}-glance")


def _grids(table: Table, frame: pd.DataFrame, cells: Cells) -> list[Grid]:
    grids = [
        results_grid(table, frame, cells.legend),
        differences_grid(table, frame, cells.legend),
        second_grid(table, frame, cells),
        paper_grid(table, cells.legend) if table.number else None,
    ]
    return [grid for grid in grids if grid is not None]


def _validation(report: Report) -> Section:
    swept, legend = report.swept, report.cells.legend
    grids = [] if swept.empty else [validation.validation_grid(swept, legend)]
    drawn = figures.of_validation(swept, legend)
    rows = swept.drop(columns="column")
    return Section(validation.NAME, validation.TITLE, validation.TITLE, rows, grids, drawn)


def _apart(report: Report) -> Section:
    cells, legend = report.cells, report.cells.legend
    rows = apart.apart(cells)
    if apart.NAME not in cells.tables:
        return Section(apart.NAME, apart.TITLE, apart.TITLE, rows, [], [])
    grids = [apart.apart_grid(rows, report.frame, legend)]
    drawn = figures.of_apart(rows, legend)
    said = apart.apart_sentences(rows, legend)
    return Section(apart.NAME, apart.TITLE, apart.TITLE, rows, grids, drawn, said)


def _readings(report: Report) -> Section:
    studied, frame, legend = report.studied, report.frame, report.cells.legend
    if studied.empty:
        return Section(readings.NAME, readings.TITLE, readings.TITLE, studied, [], [])
    grids = [readings.readings_grid(studied, frame, legend)]
    drawn = figures.of_readings(studied, frame, legend)
    said = readings.sentences(studied, frame, legend)
    rows = studied.drop(columns="column")
    return Section(readings.NAME, readings.TITLE, readings.TITLE, rows, grids, drawn, said)


def _planted(report: Report) -> Section:
    rows = planted.planted_frame(report.frame, report.cells)
    asked = planted.NAME in report.cells.tables and not rows.empty
    grids = [planted.planted_grid(rows, report.cells.legend)] if asked else []
    drawn = figures.of_planted(rows, report.cells.legend) if asked else []
    said = planted.planted_sentences(rows, report.cells.legend) if asked else []
    rows = rows.drop(columns="column")
    return Section(planted.NAME, planted.TITLE, planted.TITLE, rows, grids, drawn, said)


def _steering(report: Report) -> Section:
    cells, legend = report.cells, report.cells.legend
    rows = steering.steering(cells)
    asked = steering.NAME in cells.tables and not rows.empty
    grids = [steering.steering_grid(rows, legend)] if asked else []
    drawn = figures.of_steering(rows, legend) if asked else []
    said = steering.steering_sentences(rows, legend) if asked else []
    return Section(steering.NAME, steering.TITLE, steering.TITLE, rows, grids, drawn, said)


def _statistics(report: Report) -> Section:
    frame = datasets.dataset_statistics(report.cells)
    heading = f"Table {datasets.NUMBER}"
    caption = f"{heading}. {datasets.TITLE}"
    grids, said = [datasets.statistics_grid(frame)], [datasets.sentence(frame)]
    return Section("table5", heading, caption, frame, grids, [], said)


def outcome(report: Report, of: list[Section]) -> list[tuple[str, str]]:
    """What the first screen says, each with what it is about if that is a study: the results of
    those that a profile asks for, then how the readings of the text fared, and ours.

    of: the profile's sections.
    """
    studies = [section for section in of if section.name in STUDIES]
    said = [(study.heading, one) for study in studies for one in study.sentences[:FIRST]]
    if said and not report.frame["run"].any():
        return said
    return [*said, *(("", one) for one in outcome_sentences(report.frame, report.cells))]


def sentences(report: Report) -> list[str]:
    """The verdicts in a sentence each, after the result of a study of readings."""
    studied, legend = report.studied, report.cells.legend
    result = [] if studied.empty else readings.sentences(studied, report.frame, legend)
    return [*result, *verdict_sentences(report.frame, legend)]


STUDIES = (readings.NAME, planted.NAME, steering.NAME)
"""Tables whose sentences say what a profile was made for."""
FIRST = 1
"""Sentences of each of them on the first screen."""
SECTIONS: dict[str, Callable[[Report], Section]] = {
    **{table.name: _of_paper(table) for table in tables.TABLES},
    finetuning.NAME: _tuned,
    generated.NAME: _made,
    "further": _further,
    "validation": _validation,
    "apart": _apart,
    "readings": _readings,
    "planted": _planted,
    "steering": _steering,
    "table5": _statistics,
}


def sections(report: Report) -> list[Section]:
    """Every table of the paper, and of those beyond its own what the profile has cells of and, of
    apart, readings, planted and steering, asks for."""
    return [section for build in SECTIONS.values() if (section := build(report)).grids]
