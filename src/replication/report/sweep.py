"""How a gain depends on the size and the quality of the validation set: table and figure."""

import json

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.report.cells import KEYS, SETTING, Cells
from replication.report.drawing import GREEN, INK, MUTED, style
from replication.report.grid import Grid, Group
from replication.report.layouts import gain_text, score_text
from replication.report.methods import refiner_label, setting_label
from replication.report.plots import COLOURS, heading_of
from replication.report.statistics import settings_of
from replication.report.tables import Table

OPTIONS = {"validation_share": 1.0, "validation_noise": 0.0}
TABLE = Table("-validation", "Size and quality of the validation set", "images", ())


def split(frame: pd.DataFrame, cells: Cells) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of tables.tidy without the sweep's, and the sweep's.

    The sweep: cells that were given part of the validation split or wrong labels in it, and those
    of the same setting and refiner that were given the split as it is. It has the columns
    `reading`, the refiner's name without these options, `share` and `noise` of the options, and
    `samples` in the validation set.
    """
    rows = []
    for key, file in cells.files.items():
        refiner = dict(file.settings.get("refiner", {}))
        options = [refiner.pop(name, default) for name, default in OPTIONS.items()]
        samples = file.data.get("validation", np.nan)
        rows.append((*key, json.dumps(refiner, sort_keys=True), *options, samples))
    found = pd.DataFrame(rows, columns=[*KEYS, "same", "share", "noise", "samples"])
    found = found.sort_values(["noise", "share"], ascending=[True, False], kind="stable")
    groups = found.groupby([*SETTING, "same"], sort=False)
    found["reading"] = groups["refiner"].transform("first")
    altered = found[(found["share"] < 1) | (found["noise"] > 0)]
    found = found[found["same"].isin(altered["same"])].drop(columns="same")
    swept = frame.drop_duplicates(KEYS).merge(found, on=KEYS)
    kept = frame.merge(altered[KEYS], "left", on=KEYS, indicator=True)["_merge"] == "left_only"
    return frame[kept.to_numpy()].reset_index(drop=True), swept


def sweep_grid(swept: pd.DataFrame) -> Grid:
    """One row per validation set, in groups of one setting and reading."""
    groups = []
    for (*setting, reading), group in swept.groupby([*SETTING, "reading"], sort=False):
        _, dataset, model, upstream, batch = setting
        lines = [
            (_described(row), [score_text(row, paper=False), gain_text(row, "difference")])
            for row in group.sort_values(["noise", "share"]).to_dict("records")
        ]
        where = f"{dataset}, {model} · {setting_label(upstream, batch)}"
        groups.append(Group(f"{refiner_label(reading)}\n{where}", lines))
    return Grid(
        name=f"{TABLE.name}-results",
        title=f"{TABLE.caption}: test score, percent, and difference to the upstream alone, points",
        columns=["Validation set", "Test score", "Minus upstream"],
        groups=groups,
        notes=["Every seed draws its own part of the validation split and its own wrong labels."],
    )


def sweep_figure(swept: pd.DataFrame) -> Figure:
    """Gain over the upstream alone against the samples and the wrong labels, one data set.

    Left the sets without wrong labels, right those of full size; a row per setting.
    """
    settings = settings_of(swept)
    with style():
        figure = Figure(figsize=(4.3, 0.7 + 2.1 * len(settings)), layout="constrained")
        panels = figure.subplots(len(settings), 2, sharey="row", squeeze=False)
        for setting, (by_size, by_noise) in zip(settings, panels, strict=True):
            group = swept[(swept[SETTING] == list(setting)).all(axis=1)]
            for axes, rows, column, title in (
                (by_size, group[group["noise"] == 0], "samples", "validation samples"),
                (by_noise, group[group["share"] == 1], "noise", "wrong labels, %"),
            ):
                axes.set_ylabel("points")
                axes.axhline(0, color=INK, lw=0.9, zorder=1)
                for reading, line in rows.groupby("reading", sort=False):
                    line = line.sort_values(column)
                    x = line[column] * (100 if column == "noise" else 1)
                    y = line["difference"]
                    errors = [y - line["difference_low"], line["difference_high"] - y]
                    look = {"color": COLOURS.get(reading, GREEN), "label": refiner_label(reading)}
                    axes.errorbar(x, y, errors, marker="o", ms=4, **look)
                axes.set_xlabel(title)
                axes.label_outer()
            by_size.set_title(heading_of(setting, swept), loc="left", color=MUTED).set_in_layout(
                False
            )
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _described(row: dict) -> str:
    wrong = f", {100 * row['noise']:.0f} % wrong labels" if row["noise"] else ""
    return f"{row['samples']:.0f} samples{wrong}"
