"""How a gain depends on the size and the quality of the validation set: table and figure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.report.drawing import INK, MUTED, literal, style
from replication.report.frames import KEYS, SETTING, Cells
from replication.report.glance import distinct
from replication.report.grid import Grid, Group, Row, Text
from replication.report.legend import Legend
from replication.report.statistics import settings_of
from replication.report.texts import brief_setting, gain_text, score_text, setting_text

NAME, TITLE = "validation", "Size and quality of the validation set"


def split(frame: pd.DataFrame, cells: Cells) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of tables.tidy without the altered cells, and the altered beside those they are of.

    Altered: given part of the validation split or wrong labels in it. The second frame has the
    cells of the same setting and `base`, the refiner that sees the split as it is, too; `share` and
    `noise` of the split; and `samples` in it, NaN where it was not run.
    """
    options = cells.grid[[*KEYS, "base", "share", "noise"]]
    sizes = {key: file.data.validation for key, file in cells.files.items()}
    samples = [sizes.get(key, np.nan) for key in options[KEYS].itertuples(index=False, name=None)]
    options = options.assign(samples=np.array(samples, dtype=float))
    altered = options[(options["share"] < 1) | (options["noise"] > 0)]
    of_these = options.merge(altered[[*SETTING, "base"]].drop_duplicates(), on=[*SETTING, "base"])
    swept = distinct(frame).merge(of_these, on=KEYS)
    kept = frame.merge(altered[KEYS], "left", on=KEYS, indicator=True)["_merge"] == "left_only"
    return frame[kept.to_numpy()].reset_index(drop=True), swept


def validation_grid(swept: pd.DataFrame, legend: Legend) -> Grid:
    """One row per validation set, in groups of one setting and reading."""
    groups = []
    for (*setting, base), group in swept.groupby([*SETTING, "base"], sort=False):
        lines = [
            Row(_described(row), [score_text(row, paper=False), gain_text(row, "difference")])
            for row in group.sort_values(["noise", "share"]).to_dict("records")
        ]
        where = setting_text(tuple(setting), legend)
        groups.append(Group(Text(legend.refiner(base), (where,)), lines))
    return Grid(
        name=f"{NAME}-results",
        title=f"{TITLE}: test score, percent, and difference to the upstream alone, points",
        columns=[Text("Validation set"), Text("Test score"), Text("Minus upstream")],
        groups=groups,
        notes=["Every seed draws its own part of the validation split and its own wrong labels."],
    )


def validation_figure(swept: pd.DataFrame, legend: Legend) -> Figure:
    """Gain over the upstream alone against the samples and the wrong labels, one data set.

    Left the sets without wrong labels, right those of full size; a row per setting.
    """
    settings = settings_of(swept)
    with style():
        figure = Figure(figsize=(4.2, 0.9 + 2.1 * len(settings)), layout="constrained")
        panels = figure.subplots(len(settings), 2, sharey="row", squeeze=False)
        handles = {}
        for setting, (by_size, by_noise) in zip(settings, panels, strict=True):
            group = swept[(swept[SETTING] == list(setting)).all(axis=1)]
            for axes, rows, column, title in (
                (by_size, group[group["noise"] == 0], "samples", "validation samples"),
                (by_noise, group[group["share"] == 1], "noise", "wrong labels, %"),
            ):
                axes.set_ylabel("points")
                axes.axhline(0, color=INK, lw=0.9, zorder=1)
                for base, line in rows.groupby("base", sort=False):
                    line = line.sort_values(column)
                    x = line[column] * (100 if column == "noise" else 1)
                    y = line["difference"]
                    errors = [y - line["difference_low"], line["difference_high"] - y]
                    look = legend.look(base)
                    drawn = {"color": look.colour, "marker": look.marker, "ls": look.line, "ms": 4}
                    handles[base] = axes.errorbar(x, y, errors, **drawn)
                axes.set_xlabel(title)
                axes.label_outer()
            heading = literal(brief_setting(setting, swept, legend))
            by_size.set_title(heading, loc="left", color=MUTED).set_in_layout(False)
        names = legend.ordered("refiner", handles)
        figure.legend(
            [handles[name] for name in names],
            [literal(legend.refiner(name)) for name in names],
            loc="outside upper left",
            ncols=1,
        )
    return figure


def _described(row: dict) -> str:
    size = f"{row['samples']:.0f} samples"
    if np.isnan(row["samples"]):
        size = f"{100 * row['share']:.0f} % of the split"
    wrong = f", {100 * row['noise']:.0f} % wrong labels" if row["noise"] else ""
    return f"{size}{wrong}"
