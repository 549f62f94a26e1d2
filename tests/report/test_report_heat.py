"""Tiles: their colours, their numbers, and that they are alike on any ground."""

import math

import pytest
from matplotlib.figure import Figure

from replication.report import heat
from replication.report.drawing import PAGE


def drawn(row, bold=False, half=0.0):
    """The colour of a tile, and its texts with their weights."""
    axes = Figure().add_subplot()
    heat.tile(axes, (0, 0), (1, 1), row, bold, 8, half)
    (patch,) = axes.patches
    return patch.get_facecolor(), {text.get_text(): text.get_weight() for text in axes.texts}


def row(difference, high=math.nan, n=3):
    return {"difference": difference, "difference_high": high, "difference_n": n}


def test_the_scale_is_nearly_white_at_nothing_and_alike_for_both_signs():
    assert heat.colour(0) == pytest.approx((1, 1, 1, 1), abs=0.02)
    assert heat.colour(500) == heat.colour(heat.EXTREME)
    distance = [1 - min(heat.colour(points)[:3]) for points in (0.1, 1, 3)]
    assert distance == sorted(distance)
    for points in (1, 5, 50):
        red, _, blue, _ = heat.colour(points)
        assert blue > red
        red, _, blue, _ = heat.colour(-points)
        assert red > blue


def test_no_text_on_a_tile_follows_the_page_and_the_tile_stays():
    assert not {heat.DARK, heat.LIGHT, heat.RAMP[2]} & {*PAGE}
    for points in (-50, -1, 0, 2, 30):
        face = heat.colour(points)
        text = heat.on(face)
        assert text == (heat.LIGHT if abs(points) > 20 else heat.DARK)


def test_a_tile_has_the_number_and_half_the_interval():
    face, texts = drawn(row(-3.04, -1.04), bold=True, half=6)
    assert face == heat.colour(-3.04)
    assert texts == {"−3.0": "bold", "± 2.0": "normal"}
    assert drawn(row(12.3, 14.0))[1] == {"+12": "normal"}
    assert drawn(row(1.0), half=6)[1] == {"+1.0": "normal"}


def test_what_was_not_run_has_no_number_and_what_is_undefined_says_so():
    for nothing in (None, row(math.nan, n=math.nan)):
        face, texts = drawn(nothing)
        assert texts == {}
        assert face != heat.colour(0)
    face, texts = drawn(row(math.nan))
    assert (face, texts) == (heat.colour(0), {"undefined": "normal"})
