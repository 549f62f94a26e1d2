"""Table 4 beyond its scores: methods beside FLYP, and the weights between two networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.report.drawing import INK, LINE, MUTED, literal, style
from replication.report.frames import KEYS, Cells
from replication.report.grid import Grid, Group, Row, Text
from replication.report.layouts import scored_text
from replication.report.legend import HOLLOW, LINES, Legend
from replication.report.plots import WIDTH
from replication.report.statistics import headline, intervals, paired
from replication.report.tables import ID_OOD, Table, in_percent
from replication.report.texts import gain_text

NAME = "table4"
BASE = "flyp"
"""The kind of model that others are compared with."""
METHOD = ["model", "upstream", "batch", "refiner"]


def methods_grid(table: Table, cells: Cells) -> Grid:
    """Every method minus FLYP without augmentation, seed by seed, in every column of the table."""
    grid, legend = cells.grid[table.holds(cells.grid)], cells.legend
    base = {}
    for dataset, rows in grid.groupby("dataset", sort=False):
        own = rows[(rows["model_kind"] == BASE) & (rows["upstream_kind"] == "none")]
        if not (own := own[own["role"] == "baseline"]).empty:
            base[dataset] = legend.ordered("model", own["model"])[0]
    gains = [_minus(cells, table, column, base) for column in table.columns]
    groups = []
    for dataset, name in base.items():
        lines = []
        for row in grid[grid["dataset"] == dataset].to_dict("records"):
            key = tuple(row[k] for k in KEYS)
            itself = row["model"] == name and row["upstream_kind"] == "none"
            if row["role"] == "control" or itself:
                continue
            texts = [_text(found, key) for found in gains]
            lines.append(Row(method_text(row, legend), texts))
        groups.append(Group(Text(f"{dataset}: minus {name}"), lines))
    columns = [scored_text({**vars(column), "metric": None}) for column in table.columns]
    return Grid(
        name=f"{table.name}-methods",
        title=f"{table.title}: methods, difference to FLYP, points [95 % interval]",
        columns=[Text("Method"), *map(Text, columns)],
        groups=groups,
        notes=_notes(grid, legend),
        number=table.number,
        view="Beside FLYP",
    )


SAME_CLASS = {
    "negatives": "are negatives, as FLYP has them",
    "shared": "share their target",
}


def _notes(grid: pd.DataFrame, legend: Legend) -> list[str]:
    """What each FLYP makes of pairs of one class, and what intervals leave out."""
    names = legend.ordered("model", grid.loc[grid["model_kind"] == BASE, "model"])
    said = [f"`{name}`, {SAME_CLASS[legend.models[name].same_class]}" for name in names]
    notes = [f"A batch's pairs of one class: in {'; in '.join(said)}."] if said else []
    return [
        *notes,
        "All methods and seeds start from one pretrained network, so intervals do not cover its "
        "pretraining. Controls are in the next table.",
    ]


def _minus(cells: Cells, table: Table, column, base: Mapping[str, str]) -> pd.DataFrame:
    """Differences by KEYS to the base of their data set, in points."""
    scores = headline(cells, column)
    scores = scores[table.holds(scores)]
    bases = scores["dataset"].map(base) == scores["model"]
    bases &= (scores["upstream_kind"] == "none") & (scores["role"] == "baseline")
    return in_percent(paired(scores, scores[bases], ["experiment", "dataset"]))


def _text(found: pd.DataFrame, key: tuple[str, ...]) -> Text:
    if key not in found.index:
        return Text("not run", missing=True)
    row = found.loc[key]
    return gain_text(
        {"gain": row["mean"], "gain_n": row["n"], "gain_low": row["low"], "gain_high": row["high"]},
        "gain",
    )


def method_text(row: Mapping[str, Any], legend: Legend) -> str:
    """A method in words: "flyp, RandAugment, SAFLEX, calibrated"."""
    clean = row["batch"] == "clean"
    parts = [row["model"], *([] if clean else [legend.setting(row["upstream"], row["batch"])])]
    alone = legend.refiners[row["refiner"]].role == "baseline"
    return ", ".join([*parts, *([] if alone else [legend.refiner(row["refiner"])])])


def curves(cells: Cells) -> pd.DataFrame:
    """Of every method with interpolated weights, controls left out: KEYS, coefficient, id and ood
    (means over seeds of the data set's metric, percent) with id_low, …, and the share of seeds in
    which the coefficient is `chosen`."""
    grid = cells.grid[cells.grid["role"] != "control"]
    wanted = grid[[*KEYS, "metric"]]
    scores = cells.scores.merge(wanted, on=[*KEYS, "metric"])
    points = scores[(scores["weights"] == "interpolated") & scores["split"].isin(ID_OOD)]
    by = [*KEYS, "coefficient"]
    found = in_percent(intervals(points.groupby([*by, "split"], sort=False))).reset_index()
    tables = []
    for split in ID_OOD:
        one = found[found["split"] == split].set_index(by)[["mean", "low", "high"]]
        tables.append(one.set_axis([split, f"{split}_low", f"{split}_high"], axis=1))
    chosen = scores[(scores["weights"] == "ensembled") & (scores["split"] == ID_OOD[0])]
    counts = chosen.groupby(by).size() / chosen.groupby(KEYS).size()
    table = pd.concat(tables, axis=1).assign(chosen=counts)
    return table.fillna({"chosen": 0.0}).reset_index()


def interpolation_figure(rows: pd.DataFrame, legend: Legend) -> Figure:
    """In against out of distribution, a line a method. rows: of `curves`, one data set.

    A refiner has its colour; what it refines, a model and an upstream, has the line and the mark.
    """
    groups = [*rows.groupby(METHOD, sort=False)]
    figure = Figure(figsize=(WIDTH, 3.6 + 0.2 * len(groups)), layout="constrained")
    places = [*dict.fromkeys(method[:-1] for method, _ in groups)]
    with style():
        axes = figure.subplots()
        for method, line in groups:
            turn, colour = places.index(method[:-1]), legend.look(method[-1]).colour
            line, marker = line.sort_values("coefficient"), HOLLOW[turn % len(HOLLOW)]
            label = literal(method_text(line.iloc[0].to_dict(), legend))
            drawn = {"color": colour, "ls": LINES[turn % len(LINES)], "label": label}
            axes.plot(line["id"], line["ood"], marker=".", ms=3, **drawn)
            end = line.iloc[-1]
            spread = [
                [[max(0.0, end[s] - end[f"{s}_low"])], [max(0.0, end[f"{s}_high"] - end[s])]]
                for s in ID_OOD
            ]
            if not np.isnan(spread).any():
                axes.errorbar(
                    end["id"], end["ood"], xerr=spread[0], yerr=spread[1], fmt="o", color=colour,
                    ms=5, lw=0.8,
                )  # fmt: skip
            picked = line[line["chosen"] > 0]
            axes.scatter(
                picked["id"], picked["ood"], s=60 * picked["chosen"], marker=marker,
                facecolors="none", edgecolors=colour, linewidths=1,
            )  # fmt: skip
        axes.set_xlabel("In distribution, macro-F1, percent")
        axes.set_ylabel("Out of distribution, macro-F1, percent")
        axes.grid(color=LINE, lw=0.3)
        figure.legend(loc="outside upper left", labelcolor=INK, edgecolor=MUTED)
    return figure
