"""Tiles of a heat map: their colour, and the numbers on them."""

import math

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from replication.report.drawing import BLUE, INK, ORANGE, SURFACE

EXTREME = 50
"""From this many points on the colour is the same."""
RAMP = ("#7a2f00", ORANGE, SURFACE, BLUE, "#00395c")
COLOURS = LinearSegmentedColormap.from_list("gain", RAMP, N=257)  # odd, so that 0 is white


def colour(points: float) -> tuple[float, float, float, float]:
    """Of a gain, by log(1 + |points|): white at 0, alike for both signs."""
    share = math.log1p(min(abs(points), EXTREME)) / math.log1p(EXTREME)
    return COLOURS(0.5 + 0.5 * math.copysign(share, points))


def on(face: tuple[float, ...]) -> str:
    """The colour of text on a face."""
    light = np.dot((0.2126, 0.7152, 0.0722), np.array(face[:3]) ** 2.2)
    return INK if light > 0.2 else SURFACE


def short(points: float) -> str:
    """A sign, and a decimal below ten."""
    text = f"{points:+.0f}" if abs(points) >= 9.95 else f"{points:+.1f}"
    return text.replace("-", "−")
