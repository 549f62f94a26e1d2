"""The report's own figures: forest plots of the gains, and scores with their headroom."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from replication.report.drawing import INK, SHADE, SURFACE, literal, style
from replication.report.frames import SETTING
from replication.report.legend import Legend, Look
from replication.report.statistics import settings_of
from replication.report.texts import brief_setting

WIDTH, WIDE = 4.2, 6.4
"""Inches: as wide as a telephone reads it, and of a figure for a desk."""
PITCH = 0.205
"""Inches: the height of a line of text."""
LINEAR = 15
"""Differences larger than this many points are drawn on a symmetric log scale."""
TESTED = ("reading", "rival")
"""Roles that come before the controls on a line of the figure of a whole profile."""
ABOVE = {"loc": "outside upper center", "handletextpad": 0.5}
"""A legend where the eye begins."""


def forest(rows: pd.DataFrame, legend: Legend) -> Figure:
    """Paired differences to the upstream alone with 95 % intervals, in groups of one setting.

    rows: of tables.tidy, one data set. Filled marks are readings of SAFLEX, hollow ones controls;
    the bar behind a reading is the paper's gain, or its range over the paper's data sets.
    """
    rows = rows[(rows["role"] != "baseline") & (rows["upstream_kind"] != "none")]
    figure, axes, lines = _lines(_groups(rows, legend), extra=0.9)
    with style():
        extreme = np.nanmax(rows[["difference_low", "difference_high", "difference"]].abs())
        points_axis(axes, extreme)
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        for y, row in lines:
            _paper(axes, y, row, 0.42)
            _interval(axes, y, row, "difference", legend.look(row["refiner"]))
        handles = [
            _mark(Look(INK, "o", "-", True), "SAFLEX"),
            _mark(Look(INK, "s", "-", False), "control"),
        ]
        handles += _paper_handle(rows)
        figure.legend(handles=handles, ncols=3, **ABOVE)
    return figure


def overview(rows: pd.DataFrame, legend: Legend, width: float = WIDE) -> Figure:
    """Paired differences to the upstream alone of a whole profile, one line per setting.

    rows: of tables.tidy, each cell once. Readings, rivals and controls with their 95 % intervals,
    the paper's gain behind them. Settings stand above their lines where there is little width.
    """
    rows = rows[(rows["upstream_kind"] != "none") & rows["difference"].notna()]
    groups = []
    for (dataset, model), part in rows.groupby(["dataset", "model"], sort=False):
        lines = [
            (
                legend.setting(*setting[3:]),
                part[(part[SETTING] == list(setting)).all(axis=1)].to_dict("records"),
            )
            for setting in settings_of(part)
        ]
        groups.append((f"{dataset}, {model}", lines))
    above = width < WIDE
    names = legend.ordered("refiner", rows["refiner"])
    extra = 0.9 + 0.17 * len(names) / (1 if above else 2)
    figure, axes, lines = _lines(groups, extra, width, _crowded, above)
    with style():
        points_axis(axes)
        axes.tick_params(labelbottom=True)
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        for y, line in lines:
            line = sorted(line, key=lambda row: row["role"] not in TESTED)
            half = 0.21 * (len(line) - 1)
            for row in line:
                _paper(axes, y, row, half + 0.25)
            for row, shift in zip(line, np.linspace(-half, half, len(line)), strict=True):
                _interval(axes, y + shift, row, "difference", legend.look(row["refiner"]))
        handles = [_mark(legend.look(name), legend.refiner(name)) for name in names]
        handles += _paper_handle(rows)
        figure.legend(handles=handles, ncols=1 if above else 2, **ABOVE)
    return figure


def scores(rows: pd.DataFrame, legend: Legend) -> Figure:
    """Score of the upstream alone and of each reading; the bar is the headroom above the upstream.

    rows: of tables.tidy, one data set. A score far below all upstreams is named at the edge.
    """
    shown = rows["role"].isin(["baseline", "reading"])
    rows = rows[(rows["upstream_kind"] != "none") & shown]
    figure, axes, lines = _lines(_groups(rows, legend), extra=1.0)
    alone = rows[rows["role"] == "baseline"]
    ceiling = np.nanmax([alone["mean"] + alone["headroom"].clip(lower=0).fillna(0), alone["high"]])
    floor = alone["low"].fillna(alone["mean"]).min()
    edge = floor - 1.5 * max(ceiling - floor, 2.0)
    with style():
        for y, row in lines:
            look = legend.look(row["refiner"])
            if row["role"] == "baseline" and row["headroom"] > 0:
                group = rows[(rows[SETTING] == [row[key] for key in SETTING]).all(axis=1)]
                ends = [row["mean"], row["mean"] + row["headroom"]]
                height = [y - 0.42, y + len(group) - 1 + 0.42]
                axes.fill_betweenx(height, *ends, color=SHADE, lw=0, zorder=0)
            if row["mean"] < edge:
                axes.text(edge, y, f"◂ {row['mean']:.1f}", va="center", color=look.colour)
            else:
                _interval(axes, y, row, "", look)
        if (rows["mean"] < edge).any():
            axes.set_xlim(left=edge)
        _on_top(axes, "test score, percent")
        handles = [
            _mark(Look(INK, "o", "-", False), "upstream alone"),
            _mark(Look(INK, "o", "-", True), "SAFLEX"),
            Patch(color=SHADE, label="headroom"),
        ]
        figure.legend(handles=handles, ncols=3, **ABOVE)
    return figure


def found_of_planted(rows: pd.DataFrame, legend: Legend, width: float = WIDE) -> Figure:
    """Gains as a share of the oracle's, a line per setting in which the oracle surely gains.

    rows: of planted.planted_frame with a gain. Readings and the controls of those that estimate a
    share of wrong labels, and training on validation data too; what lies outside is named at the
    edge. Settings stand above their lines where there is little width.
    """
    groups = []
    for (dataset, model), part in rows.groupby(["dataset", "model"], sort=False):
        lines = []
        for (upstream, batch), line in part.groupby(["upstream", "batch"], sort=False):
            best = line.loc[line["kind"] == "oracle", "difference"].item()
            shares = [f"difference{end}" for end in ("", "_low", "_high")]
            others = line[line["kind"] != "oracle"]
            others = others.assign(**{name: 100 * others[name] / best for name in shares})
            label = f"{legend.setting(upstream, batch)} ({best:+.1f})"
            lines.append((label, others.to_dict("records")))
        groups.append((f"{dataset}, {model}", lines))
    above = width < WIDE
    names = dict.fromkeys(
        row["refiner"] for _, group in groups for _, line in group for row in line
    )
    names = legend.ordered("refiner", names)
    extra = 0.8 + 0.17 * len(names) / (1 if above else 2)
    figure, axes, lines = _lines(groups, extra, width, _crowded, above)
    left, right = -40, 200
    with style():
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        axes.axvline(100, color=INK, lw=0.9, ls=":", zorder=1)
        axes.set_xlim(left, right)
        for y, line in lines:
            half = 0.21 * (len(line) - 1)
            for row, shift in zip(line, np.linspace(-half, half, len(line)), strict=True):
                look, share = legend.look(row["refiner"]), row["difference"]
                drawn = {"color": look.colour, "va": "center_baseline", "fontsize": 8}
                if share < left:
                    axes.text(left, y + shift, f"◂ {share:.0f}".replace("-", "−"), **drawn)
                elif share > right:
                    axes.text(right, y + shift, f"{share:.0f} ▸", ha="right", **drawn)
                else:
                    _interval(axes, y + shift, row, "difference", look)
        _on_top(axes, "% of the oracle's gain, whose points are in brackets")
        handles = [_mark(legend.look(name), legend.refiner(name)) for name in names]
        figure.legend(handles=handles, ncols=1 if above else 2, **ABOVE)
    return figure


def points_axis(axes: Axes, extreme: float = np.inf) -> None:
    """An axis on top in percent points; beyond LINEAR on a symmetric log scale."""
    label = "points"
    if extreme > LINEAR:
        label = "points, log scale beyond ±1"
        ticks = (-50, -10, -2, 0, 2, 10, 50)
        labels = [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in ticks]
        axes.set_xscale("symlog", linthresh=1, linscale=0.6)
        axes.set_xticks(ticks, labels)
        axes.set_xticks([], minor=True)
    _on_top(axes, label)


def _on_top(axes: Axes, label: str) -> None:
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel(label)


def _lines(
    groups,
    extra: float,
    width: float = WIDTH,
    size: Callable[[Any], float] = lambda line: 1.0,
    above: bool = False,
) -> tuple[Figure, Axes, list]:
    """An empty figure with labelled lines under headings, and the lines: (y, what is on it).

    groups: (heading, [(label, what is on the line)]). extra, width: inches. size: how many lines of
    text a line is high. above: labels stand above their lines and not at their left.
    """
    named = 1.1 if above else 0.0
    count = sum(1.5 + sum(named + size(line) for _, line in group) for _, group in groups)
    with style():
        figure = Figure(figsize=(width, PITCH * count + extra), layout="constrained")
        axes = figure.add_subplot()
        place = blended_transform_factory(figure.transFigure, axes.transData)

        def write(y: float, text: str, **drawn: Any) -> None:
            said = axes.text(0.012, y, literal(text), transform=place, va="center", **drawn)
            said.set_bbox({"fc": SURFACE, "ec": "none", "pad": 1.0})
            said.set_in_layout(False)

        lines, y = [], 0.0
        for heading, group in groups:
            write(y + 0.45, heading, weight="bold")
            y += 1.0
            for label, line in group:
                if above:
                    write(y + 0.55, label, fontsize=8)
                high = named + size(line)
                lines.append((y + (high + named) / 2, label, line))
                y += high
            y += 0.5
        axes.set_ylim(y - 0.2, -0.4)
        labels = ["" if above else literal(label) for _, label, _ in lines]
        axes.set_yticks([y for y, _, _ in lines], labels)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=SHADE, lw=0.6)
        axes.set_axisbelow(True)
    return figure, axes, [(y, row) for y, _, row in lines]


def _groups(rows: pd.DataFrame, legend: Legend) -> list[tuple[str, list[tuple[str, dict]]]]:
    groups = []
    for setting in settings_of(rows):
        group = rows[(rows[SETTING] == list(setting)).all(axis=1)].to_dict("records")
        lines = [(legend.refiner(row["refiner"]), row) for row in group]
        groups.append((brief_setting(setting, rows, legend), lines))
    return groups


def _crowded(marks: list) -> float:
    """How many lines of text as many marks below each other are high."""
    return 0.5 + 0.42 * len(marks)


def _paper(axes: Axes, y: float, row: Mapping[str, Any], half: float) -> None:
    """The paper's gain, or its range over its data sets, as a bar behind a line."""
    if np.isnan(row["paper_low"]):
        return
    ends = np.array([row["paper_low"], row["paper_high"]])
    ends += [-0.06, 0.06] if ends[0] == ends[1] else 0
    axes.fill_betweenx([y - half, y + half], *ends, color=SHADE, lw=0, zorder=0)


def _paper_handle(rows: pd.DataFrame) -> list[Patch]:
    shown = rows["paper_low"].notna().any()
    return [Patch(color=SHADE, label="the paper's gain")] if shown else []


def _interval(axes: Axes, y: float, row: Mapping[str, Any], of: str, look: Look) -> None:
    """A mark with its interval. of: "difference", or empty for the score itself."""
    mean, low, high = (of, f"{of}_low", f"{of}_high") if of else ("mean", "low", "high")
    ends = {"color": look.colour, "lw": 1.5, "solid_capstyle": "butt", "zorder": 2}
    axes.plot([row[low], row[high]], [y, y], **ends)
    face = look.colour if look.filled else SURFACE
    axes.plot(row[mean], y, look.marker, color=look.colour, mfc=face, ms=5, zorder=3)


def _mark(look: Look, label: str) -> Line2D:
    face = look.colour if look.filled else SURFACE
    return Line2D(
        [], [], color=look.colour, marker=look.marker, ms=5, mfc=face, ls="none",
        label=literal(label),
    )  # fmt: skip
