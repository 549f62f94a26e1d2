"""Every figure of a report: what it is called, what it says, and its files."""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from replication.report import sweep
from replication.report.drawing import save, style
from replication.report.methods import refiner_label, setting_label
from replication.report.plots import forest, glance, scores
from replication.report.schematic import schematic
from replication.report.tables import Table, tables_of


@dataclass(frozen=True)
class Drawn:
    """A figure: its name, title, caption, the text that stands for it, and its SVG, if drawn.

    table: name of the table that it belongs to, if any. light: drawn for a light ground only.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: Path | None = None
    table: str = ""
    light: bool = False


GAINS = Drawn(
    "gains",
    "Gain over the upstream alone, every setting",
    "Paired differences, readings of SAFLEX with 95 % intervals. A gain is SAFLEX's own where it "
    "lies above the marks of the controls without information as well.",
    "A line per setting: the differences of SAFLEX to the upstream alone with their intervals, and "
    "those of the controls. The table below has the figures.",
    table="glance",
)
SCHEMATIC = Drawn(
    "figure1",
    "Figure 1. Where SAFLEX stands in a training loop",
    "Our drawing.",
    "Augmented samples from any upstream pipeline and the gradient of the validation loss go into "
    "SAFLEX. Weights and soft labels come out of it and are trained on; the model after that step "
    "is the one that SAFLEX sees next.",
)
TOY = (
    Drawn(
        "figure2a",
        "Figure 2a. The toy: accuracy against the strength of augmentation",
        "Without SAFLEX and with it, over seeds.",
        "Accuracy on the toy problem as the perturbation grows, without SAFLEX and with it.",
        light=True,
    ),
    Drawn(
        "figure2b",
        "Figure 2b. The toy: what SAFLEX does to each sample",
        "Which augmented samples are dropped or relabelled, and where the validation samples are.",
        "The plane of the toy problem with its validation samples and its augmented samples, "
        "marked as kept, dropped or relabelled.",
        light=True,
    ),
)


def draw_all(frame: pd.DataFrame, toy: dict | None, folder: Path) -> list[Drawn]:
    """Every figure of a report, saved into `folder` as SVG and PNG, in the order of the page.

    frame: of tables.tidy. toy: content of toy.json; without it Figure 2 is listed, not drawn.
    """
    toys = [*TOY]
    if toy is not None:
        figures = import_module("replication.report.toy_figures")
        with style():
            toys = [
                _saved(TOY[0], figures.figure_2a(toy), folder),
                _saved(TOY[1], figures.figure_2b(toy), folder),
            ]
    drawn = [_saved(SCHEMATIC, schematic(), folder), *toys]
    if (frame["difference"].notna() & (frame["role"] == "reading")).any():
        drawn.insert(0, _saved(GAINS, glance(frame), folder))
    for table in tables_of(frame):
        rows = frame[(frame["table"] == table.number) & frame["run"]]
        for dataset, group in rows.groupby("dataset", sort=False):
            drawn += _of_dataset(table, dataset, group, folder)
    return drawn


def draw_sweep(swept: pd.DataFrame, folder: Path) -> list[Drawn]:
    """A figure per data set of the sweep over validation sets. swept: of sweep.split."""
    drawn = []
    for dataset, rows in swept.groupby("dataset", sort=False):
        said = "; ".join(
            f"{refiner_label(row.reading)}, {setting_label(row.upstream, row.batch)}, "
            f"{row.samples:.0f} samples, {100 * row.noise:.0f} % wrong: {row.difference:+.2f}"
            for row in rows.itertuples()
        )
        figure = Drawn(
            f"{sweep.TABLE.name}-{dataset}",
            f"Gain over the upstream alone and the validation set on {dataset}",
            "Paired differences with 95 % intervals. Left: parts of the validation split, without "
            "wrong labels. Right: the whole split, some of its labels moved to another class.",
            f"Paired differences to the upstream alone in points. {said}.",
            table=sweep.TABLE.name,
        )
        drawn.append(_saved(figure, sweep.sweep_figure(rows), folder))
    return drawn


def _of_dataset(table: Table, dataset: str, rows: pd.DataFrame, folder: Path) -> list[Drawn]:
    gains = rows[(rows["upstream"] != "none") & rows["difference"].notna()]
    if gains.empty:
        return []
    said = "; ".join(
        f"{row.model}, {setting_label(row.upstream, row.batch)}, {refiner_label(row.refiner)} "
        f"{row.difference:+.2f} [{row.difference_low:+.2f}, {row.difference_high:+.2f}]"
        for row in gains[gains["role"] == "reading"].itertuples()
    )
    name = f"{table.name}-{dataset}"
    of_gains = Drawn(
        f"{name}-gains",
        f"Gain over the upstream alone on {dataset}",
        "Paired differences with 95 % intervals. Grey: the paper's gain, or its range over its "
        "data sets.",
        f"Paired differences to the upstream alone in points with 95 % intervals. {said}.",
        table=table.name,
    )
    of_scores = Drawn(
        f"{name}-scores",
        f"Score and headroom on {dataset}",
        "Means with 95 % intervals. Grey: from the upstream alone to the best of clean training "
        "and train + validation.",
        "Test scores of the upstream alone and of SAFLEX, which the table above lists, and how far "
        "the best of clean training and train + validation lies above the upstream.",
        table=table.name,
    )
    return [_saved(of_gains, forest(rows), folder), _saved(of_scores, scores(rows), folder)]


def _saved(drawn: Drawn, figure: Figure, folder: Path) -> Drawn:
    return replace(drawn, svg=save(figure, folder, drawn.name)[0])
