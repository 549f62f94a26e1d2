"""Tiles of a heat map: their colour, and the numbers on them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from replication.report.drawing import BLUE, ORANGE, SHADE, SURFACE

EXTREME = 50
"""From this many points on the colour is the same."""
RAMP = ("#7a2f00", ORANGE, "#fcfcfd", BLUE, "#00395c")
COLOURS = LinearSegmentedColormap.from_list("gain", RAMP, N=257)  # odd, so that 0 is the middle
DARK, LIGHT = "#14181d", "#fdfdfe"
"""Of text on tiles, which are as they are on any ground: none of the page's colours."""


def colour(points: float) -> tuple[float, float, float, float]:
    """Of a gain, by log(1 + |points|): nearly white at 0, alike for both signs."""
    share = math.log1p(min(abs(points), EXTREME)) / math.log1p(EXTREME)
    return COLOURS(0.5 + 0.5 * math.copysign(share, points))


def on(face: tuple[float, ...]) -> str:
    """The colour of text on a face."""
    light = np.dot((0.2126, 0.7152, 0.0722), np.array(face[:3]) ** 2.2)
    return DARK if light > 0.2 else LIGHT


def short(points: float) -> str:
    """A sign, and a decimal below ten; what rounds to 0 has no sign."""
    text = f"{points:+.0f}" if abs(points) >= 9.95 else f"{points:+.1f}"
    return text.replace("-", "−") if abs(points) >= 0.05 else "0.0"


def tile(
    axes: Axes,
    corner: tuple[float, float],
    size: tuple[float, float],
    row: Mapping[str, Any] | None,
    bold: bool,
    fontsize: float,
    half: float = 0.0,
) -> None:
    """The difference of a row; without one, the grey of what was not run, or a word.

    corner: left and upper, in the units of the axes, as is size. bold: of the number. half: size of
    the font of half the width of its interval beneath, nothing if 0.
    """
    (x, y), (width, height) = corner, size
    run = row is not None and row["difference_n"] > 0
    points = row["difference"] if run else math.nan
    face = colour(0.0 if math.isnan(points) else points) if run else SHADE
    axes.add_patch(Rectangle(corner, width, height, fc=face, ec=SURFACE, lw=0.8))
    if not run:
        return
    drawn = {"ha": "center", "va": "center_baseline", "color": on(face)}
    lift = 0.15 * height if half else 0.0
    text = "undefined" if math.isnan(points) else short(points)
    middle, weight = y + height / 2, "bold" if bold else "normal"
    axes.text(x + width / 2, middle - lift, text, fontsize=fontsize, weight=weight, **drawn)
    if half and not math.isnan(row["difference_high"]):
        text = f"± {row['difference_high'] - points:.1f}"
        axes.text(x + width / 2, middle + 1.9 * lift, text, fontsize=half, **drawn)
