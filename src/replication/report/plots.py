"""The report's own figures: forest plots of the gains, and scores with their headroom."""

from collections.abc import Mapping
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

WIDTH = 4.3
LINEAR = 15
"""Differences larger than this many points are drawn on a symmetric log scale."""
TESTED = ("reading", "rival")
"""Roles whose intervals the figure of a whole profile shows; controls are marks in it."""


def forest(rows: pd.DataFrame, legend: Legend) -> Figure:
    """Paired differences to the upstream alone with 95 % intervals, in groups of one setting.

    rows: of tables.tidy, one data set. Filled marks are readings of SAFLEX, hollow ones controls;
    the bar behind a reading is the paper's gain, or its range over the paper's data sets.
    """
    rows = rows[(rows["role"] != "baseline") & (rows["upstream_kind"] != "none")]
    figure, axes, lines = _lines(_groups(rows, legend), extra=1.2)
    with style():
        extreme = np.nanmax(rows[["difference_low", "difference_high", "difference"]].abs())
        _points_axis(axes, extreme)
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        for y, row in lines:
            if not np.isnan(row["paper_low"]):
                ends = np.array([row["paper_low"], row["paper_high"]])
                ends += [-0.06, 0.06] if ends[0] == ends[1] else 0
                axes.fill_betweenx([y - 0.42, y + 0.42], *ends, color=SHADE, lw=0, zorder=0)
            _interval(axes, y, row, "difference", legend.look(row["refiner"]))
        handles = [
            _mark(Look(INK, "o", "-", True), "SAFLEX"),
            _mark(Look(INK, "s", "-", False), "control"),
        ]
        if rows["paper_low"].notna().any():
            handles.append(Patch(color=SHADE, label="the paper's gain"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.5)
    return figure


def overview(rows: pd.DataFrame, legend: Legend) -> Figure:
    """Paired differences to the upstream alone of a whole profile, one line per setting.

    rows: of tables.tidy, each cell once. Readings and rivals with their 95 % intervals, controls as
    marks.
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
    figure, axes, lines = _lines(groups, extra=1.5, width=6.4, pitch=0.28)
    with style():
        _points_axis(axes)
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        for y, line in lines:
            tested = [row for row in line if row["role"] in TESTED]
            for row, shift in zip(tested, np.linspace(-0.24, 0.06, len(tested)), strict=True):
                _interval(axes, y + shift, row, "difference", legend.look(row["refiner"]))
            for row in line:
                if row["role"] == "control":
                    look = legend.look(row["refiner"])
                    drawn = {"color": look.colour, "mfc": "none", "ms": 4.5, "zorder": 4}
                    axes.plot(row["difference"], y + 0.24, look.marker, **drawn)
        handles = [
            _mark(legend.look(name), legend.refiner(name))
            for name in legend.ordered("refiner", rows["refiner"])
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, handletextpad=0.5)
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
        axes.set_xlabel("test score, percent")
        handles = [
            _mark(Look(INK, "o", "-", False), "upstream alone"),
            _mark(Look(INK, "o", "-", True), "SAFLEX"),
            Patch(color=SHADE, label="headroom"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.5)
    return figure


def found_of_planted(rows: pd.DataFrame, legend: Legend) -> Figure:
    """Gains as a share of the oracle's, a line per setting in which the oracle surely gains.

    rows: of planted.planted_frame with a gain. Readings and the controls of those that estimate a
    share of wrong labels, and training on validation data too; what lies outside is at the edge.
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
    figure, axes, lines = _lines(groups, extra=1.4, width=6.4, pitch=0.34)
    left, right = -40, 200
    with style():
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        axes.axvline(100, color=INK, lw=0.9, ls=":", zorder=1)
        axes.set_xlim(left, right)
        for y, line in lines:
            for row, shift in zip(line, np.linspace(-0.3, 0.3, len(line)), strict=True):
                look = legend.look(row["refiner"])
                if left <= row["difference"] <= right:
                    _interval(axes, y + shift, row, "difference", look)
                else:
                    end, arrow = (left, "◂") if row["difference"] < left else (right, "▸")
                    drawn = {"color": look.colour, "ha": "center", "va": "center", "fontsize": 8}
                    axes.text(end, y + shift, arrow, **drawn)
        axes.set_xlabel("% of the oracle's gain, whose points are in brackets")
        names = dict.fromkeys(row["refiner"] for _, line in lines for row in line)
        handles = [
            _mark(legend.look(name), legend.refiner(name))
            for name in legend.ordered("refiner", names)
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
            at = {"transform": place, "va": "center", "weight": "bold"}
            text = axes.text(0.012, y + 0.45, literal(heading), **at)
            text.set_bbox({"fc": SURFACE, "ec": "none", "pad": 1.5})
            text.set_in_layout(False)
            lines += [(y + 1.5 + i, *line) for i, line in enumerate(group)]
            y += 1.5 + len(group)
        axes.set_ylim(y - 0.2, -0.4)
        axes.set_yticks([y for y, _, _ in lines], [literal(label) for _, label, _ in lines])
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
