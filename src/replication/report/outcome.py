"""What came out of a profile, for its first screen: sentences, and every gain in one figure."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.report.drawing import INK, MUTED, SHADE, SURFACE, literal, style
from replication.report.frames import KEYS, Cells
from replication.report.glance import counted, distinct, readings_of
from replication.report.legend import Legend, Look
from replication.report.plots import ABOVE, WIDTH, points_axis
from replication.report.readings import of_the_text
from replication.report.reference import signed

WHOSE = {True: "Readings of the paper's text", False: "Our own readings"}
POOLED = Look(INK, "o", "-", filled=True)
"""Of many readings on one line."""
ROW = 0.225
"""Inches: the height of a line."""


class Strip(NamedTuple):
    """A method's line of the figure: a mark for each cell."""

    label: str
    look: Look
    rows: pd.DataFrame


def outcome_sentences(frame: pd.DataFrame, cells: Cells) -> list[str]:
    """How the readings of the text fared, and ours: of their cells that were run, how many got
    which verdict. frame: of tables.tidy."""
    grid = cells.grid[cells.grid["role"] == "reading"]
    theirs = [of_the_text(reading) for reading in grid["reading"]]
    readings = readings_of(frame).merge(grid[KEYS].assign(theirs=theirs), on=KEYS)
    said = []
    for of_text, whose in WHOSE.items():
        rows = readings[readings["theirs"] == of_text]
        ran = rows[rows["run"]]
        if rows.empty:
            continue
        if ran.empty:
            said.append(f"{whose}: none of {len(rows)} cells is run.")
            continue
        mean = ran["difference"].mean()
        gain = "" if np.isnan(mean) else f" Mean gain {signed(mean)} points."
        said.append(f"{whose}: of {counted(ran, ' run')}.{gain}")
    return said or ["This profile has no SAFLEX cell."]


def outcome_figure(
    frame: pd.DataFrame, studied: pd.DataFrame, legend: Legend, width: float
) -> Figure:
    """Every gain over the upstream alone, a line per method, readings above controls.

    frame, studied: of sections.Report. A mark is filled where its interval is clear of 0; the bar
    behind all is the range of the paper's gains in these settings. Names stand above their lines
    where there is little width.
    """
    above = width <= WIDTH
    strips = [*_strips(frame, studied, legend)]
    paper = readings_of(frame)[["paper_low", "paper_high"]]
    step = 2.0 if above else 1.25
    height = ROW * step * len(strips) + 0.85
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        points_axis(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=SHADE, lw=0.6)
        axes.set_axisbelow(True)
        axes.axvline(0, color=INK, lw=0.9, zorder=1)
        if shown := paper["paper_low"].notna().any():
            ends = paper["paper_low"].min(), paper["paper_high"].max()
            axes.axvspan(*ends, color=SHADE, lw=0, zorder=0.5)
        places = step * np.arange(len(strips))
        for y, strip in zip(places, strips, strict=True):
            _marks(axes, y, strip)
            at = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8}
            count = axes.text(1.0, y - above, _count(strip.rows), ha="right", color=MUTED, **at)
            if above:
                at["bbox"] = {"fc": SURFACE, "ec": "none", "pad": 0.6}
                axes.text(0.0, y - 1.0, literal(strip.label), **at)
            else:
                count.set_position((1.01, y))
                count.set_horizontalalignment("left")
        axes.set_yticks(places, ["" if above else literal(strip.label) for strip in strips])
        axes.set_ylim(places[-1] + 0.7, -1.5 if above else -0.7)
        handles = [
            _mark("interval clear of 0", filled=True),
            _mark("contains 0", filled=False),
            *([Patch(color=SHADE, label="the paper's gains")] if shown else []),
        ]
        figure.legend(handles=handles, ncols=3, columnspacing=1.2, **ABOVE)
    return figure


def counts(frame: pd.DataFrame, studied: pd.DataFrame, legend: Legend) -> list[str]:
    """The lines of the figure in words. frame, studied: of sections.Report."""
    return [f"{strip.label}, {_count(strip.rows)}" for strip in _strips(frame, studied, legend)]


def _strips(frame: pd.DataFrame, studied: pd.DataFrame, legend: Legend) -> Iterator[Strip]:
    """A study's readings share a line."""
    gained = distinct(frame)
    gained = gained[gained["difference"].notna() & (gained["upstream_kind"] != "none")]
    if (many := studied[studied["difference"].notna()])["refiner"].nunique():
        count = many["refiner"].nunique()
        yield Strip(f"{count} reading{'s' * (count > 1)} of the text", POOLED, many)
    for roles in (("reading", "rival"), ("control",)):
        rows = gained[gained["role"].isin(roles)]
        for name in legend.ordered("refiner", rows["refiner"]):
            of = rows[rows["refiner"] == name]
            yield Strip(legend.refiner(name), legend.look(name), of)


def _marks(axes, y: float, strip: Strip) -> None:
    rows = strip.rows.sort_values("difference", kind="stable")
    clear = _above(rows) | _below(rows)
    shifts = 0.22 * (np.arange(len(rows)) % 3 - 1)
    drawn = {"s": 20, "marker": strip.look.marker, "edgecolors": strip.look.colour, "lw": 0.9}
    for which, face, order in ((~clear, SURFACE, 3), (clear, strip.look.colour, 4)):
        at = rows.loc[which, "difference"], y + shifts[which.to_numpy()]
        axes.scatter(*at, facecolors=face, zorder=order, alpha=0.85, **drawn)


def _above(rows: pd.DataFrame) -> pd.Series:
    return rows["difference_low"] > 0


def _below(rows: pd.DataFrame) -> pd.Series:
    return rows["difference_high"] < 0


def _count(rows: pd.DataFrame) -> str:
    """How many intervals lie above 0, and below."""
    return f"{_above(rows).sum()} ▲  {_below(rows).sum()} ▼  of {len(rows)}"


def _mark(label: str, filled: bool) -> Line2D:
    face = INK if filled else SURFACE
    return Line2D([], [], color=INK, marker="o", ms=4.5, mfc=face, ls="none", label=label)
