"""The report's own figures: forest plots of the gains, and scores with their headroom."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from replication.report.cells import KEYS, SETTING
from replication.report.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SHADE,
    SURFACE,
    style,
)
from replication.report.methods import BASELINE, rank, refiner_label, setting_label
from replication.report.statistics import settings_of

WIDTH = 4.3
LINEAR = 15
"""Differences larger than this many points are drawn on a symmetric log scale."""
COLOURS = {
    "paper": ORANGE,
    "calibrated": BLUE,
    "paper-literal": PURPLE,
    "soft-augmentation": PURPLE,
}
MARKS = {
    "train-validation": ("D", MUTED),
    "permuted": ("s", MUTED),
    "smoothing": ("^", MUTED),
    "permuted-paper": ("s", ORANGE),
    "smoothing-paper": ("^", ORANGE),
    "reweighting": ("v", MUTED),
}
"""Controls in the figure of a whole profile: mark and colour, orange for `paper`'s own."""


def forest(rows: pd.DataFrame) -> Figure:
    """Paired differences to the upstream alone with 95 % intervals, in groups of one setting.

    rows: of tables.tidy, one data set. Filled marks are readings of SAFLEX, hollow ones controls;
    the bar behind a reading is the paper's gain, or its range over the paper's data sets.
    """
    rows = rows[(rows["refiner"] != BASELINE) & (rows["upstream"] != "none")]
    figure, axes, lines = _lines(_groups(rows), extra=1.2)
    with style():
        extreme = np.nanmax(rows[["difference_low", "difference_high", "difference"]].abs())
        _points_axis(axes, extreme)
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        for y, row in lines:
            if not np.isnan(row["paper_low"]):
                ends = np.array([row["paper_low"], row["paper_high"]])
                ends += [-0.06, 0.06] if ends[0] == ends[1] else 0
                axes.fill_betweenx([y - 0.42, y + 0.42], *ends, color=SHADE, lw=0, zorder=0)
            _point(axes, y, row, "difference", "difference_low", "difference_high")
        handles = [_mark("o", "SAFLEX"), _mark("s", "control", hollow=True)]
        if rows["paper_low"].notna().any():
            handles.append(Patch(color=SHADE, label="the paper's gain"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.5)
    return figure


def glance(rows: pd.DataFrame) -> Figure:
    """Paired differences to the upstream alone of a whole profile, one line per setting.

    rows: of tables.tidy. Readings and rivals with their 95 % intervals, controls as marks.
    """
    rows = rows[(rows["upstream"] != "none") & rows["difference"].notna()].drop_duplicates(KEYS)
    rows = rows[rows["role"].isin(["reading", "rival"]) | rows["refiner"].isin(MARKS)]
    groups = []
    for (dataset, model), part in rows.groupby(["dataset", "model"], sort=False):
        lines = [
            (
                setting_label(*setting[3:]),
                part[(part[SETTING] == list(setting)).all(axis=1)].to_dict("records"),
            )
            for setting in settings_of(part)
        ]
        groups.append((f"{dataset}, {model}", lines))
    figure, axes, lines = _lines(groups, extra=1.5, width=6.4, pitch=0.28)
    with style():
        _points_axis(axes)
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        for y, line in lines:
            readings = [row for row in line if row["refiner"] not in MARKS]
            readings.sort(key=lambda row: rank("refiner", row["refiner"]))
            for row, shift in zip(readings, np.linspace(-0.24, 0.06, len(readings)), strict=True):
                _point(axes, y + shift, row, "difference", "difference_low", "difference_high")
            for row in line:
                if row["refiner"] in MARKS:
                    marker, colour = MARKS[row["refiner"]]
                    look = {"color": colour, "mfc": "none", "ms": 4.5, "zorder": 4}
                    axes.plot(row["difference"], y + 0.24, marker, **look)
        names = dict.fromkeys(row["refiner"] for _, line in lines for row in line)
        handles = [
            _mark(MARKS[name][0], refiner_label(name), hollow=True, colour=MARKS[name][1])
            if name in MARKS
            else _mark("o", refiner_label(name), colour=COLOURS.get(name, GREEN))
            for name in sorted(names, key=lambda name: rank("refiner", name))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, handletextpad=0.5)
    return figure


def _points_axis(axes: Axes, extreme: float = np.inf) -> None:
    """A horizontal axis in percent points; beyond LINEAR on a symmetric log scale."""
    label = "points"
    if extreme > LINEAR:
        label = "points, log scale beyond ±1"
        ticks = (-50, -10, -2, 0, 2, 10, 50)
        labels = [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in ticks]
        axes.set_xscale("symlog", linthresh=1, linscale=0.6)
        axes.set_xticks(ticks, labels)
        axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def scores(rows: pd.DataFrame) -> Figure:
    """Score of the upstream alone and of each reading; the bar is the headroom above the upstream.

    rows: of tables.tidy, one data set. A score far below all upstreams is named at the edge.
    """
    rows = rows[(rows["upstream"] != "none") & rows["role"].isin(["baseline", "reading"])]
    figure, axes, lines = _lines(_groups(rows), extra=1.0)
    alone = rows[rows["refiner"] == BASELINE]
    ceiling = np.nanmax([alone["mean"] + alone["headroom"].clip(lower=0).fillna(0), alone["high"]])
    floor = alone["low"].fillna(alone["mean"]).min()
    edge = floor - 1.5 * max(ceiling - floor, 2.0)
    readings = 0
    with style():
        for y, row in lines:
            if row["refiner"] == BASELINE:
                group = rows[(rows[SETTING] == [row[key] for key in SETTING]).all(axis=1)]
                readings = len(group) - 1
                if row["headroom"] > 0:
                    ends = [row["mean"], row["mean"] + row["headroom"]]
                    height = [y - 0.42, y + readings + 0.42]
                    axes.fill_betweenx(height, *ends, color=SHADE, lw=0, zorder=0)
            if row["mean"] < edge:
                axes.text(edge, y, f"◂ {row['mean']:.1f}", va="center", color=_colour(row))
            else:
                _point(axes, y, row, "mean", "low", "high")
        if (rows["mean"] < edge).any():
            axes.set_xlim(left=edge)
        axes.set_xlabel("test score, percent")
        handles = [
            _mark("o", "upstream alone", hollow=True),
            _mark("o", "SAFLEX"),
            Patch(color=SHADE, label="headroom"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.5)
    return figure


def _lines(groups, extra: float, width=WIDTH, pitch=0.205) -> tuple[Figure, Axes, list]:
    """An empty figure with labelled lines under headings, and the lines: (y, what is on it).

    groups: (heading, [(label, what is on the line)]). extra, width, pitch: inches.
    """
    count = sum(len(group) + 1.5 for _, group in groups)
    with style():
        figure = Figure(figsize=(width, pitch * count + extra), layout="constrained")
        axes = figure.add_subplot()
        place = blended_transform_factory(figure.transFigure, axes.transData)
        lines, y = [], 0.0
        for heading, group in groups:
            text = axes.text(0.012, y + 0.45, heading, transform=place, va="center", weight="bold")
            text.set_bbox({"fc": SURFACE, "ec": "none", "pad": 1.5})
            text.set_in_layout(False)
            lines += [(y + 1.5 + i, *line) for i, line in enumerate(group)]
            y += 1.5 + len(group)
        axes.set_ylim(y - 0.2, -0.4)
        axes.set_yticks([y for y, _, _ in lines], [label for _, label, _ in lines])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=SHADE, lw=0.6)
        axes.set_axisbelow(True)
    return figure, axes, [(y, row) for y, _, row in lines]


def _groups(rows: pd.DataFrame) -> list[tuple[str, list[tuple[str, dict]]]]:
    groups = []
    for setting in settings_of(rows):
        group = rows[(rows[SETTING] == list(setting)).all(axis=1)].to_dict("records")
        group.sort(key=lambda row: rank("refiner", row["refiner"]))
        lines = [(refiner_label(row["refiner"]), row) for row in group]
        groups.append((heading_of(setting, rows), lines))
    return groups


def heading_of(setting: tuple[str, ...], rows: pd.DataFrame) -> str:
    """A SETTING of `rows` in words, with its model where they have several."""
    _, _, model, upstream, batch = setting
    label = setting_label(upstream, batch)
    return f"{model}: {label}" if rows["model"].nunique() > 1 else label


def _point(axes: Axes, y: float, row: dict, mean: str, low: str, high: str) -> None:
    colour, filled = _colour(row), row["role"] in ("reading", "rival")
    axes.plot([row[low], row[high]], [y, y], color=colour, lw=1.5, solid_capstyle="butt", zorder=2)
    marker = "s" if row["role"] == "control" else "o"
    face = colour if filled else SURFACE
    axes.plot(row[mean], y, marker, color=colour, mfc=face, ms=5, zorder=3)


def _colour(row: dict) -> str:
    if row["role"] == "control":
        return MUTED
    return INK if row["refiner"] == BASELINE else COLOURS.get(row["refiner"], GREEN)


def _mark(marker: str, label: str, hollow: bool = False, colour: str = INK) -> Line2D:
    face = SURFACE if hollow else colour
    return Line2D([], [], color=colour, marker=marker, ms=5, mfc=face, ls="none", label=label)
