"""Steering minus training on the same validation samples, against arithmetic by hand."""

import numpy as np
import pytest
from made_cells import DEFINITIONS, cell, grid, made, settings, write

from replication.report import steering
from replication.report.frames import read_cells
from replication.report.heat import colour
from replication.stages.table import table

PLANTED = {"kind": "mislabelled", "share": 0.3, "label": "30 % wrong"}
HALF = {"validation_share": 0.5}
MORE = {
    "upstreams": {"wrong30": PLANTED},
    "refiners": {
        "paper-half": DEFINITIONS["refiners"]["paper"] | HALF,
        "trained-half": DEFINITIONS["refiners"]["train-validation"] | HALF,
    },
}
REFINERS = ("none", "paper", "paper-half", "calibrated", "train-validation", "trained-half")
BASE, PAIRED = np.array([80.0, 82.0, 81.0]), np.array([-0.2, 0.0, 0.2])
SCORES = {  # upstream: of REFINERS
    "randaugment": (0, 1, 0.5, 3, 2, 0.5),
    "wrong30": (0, 5, 1.5, 3, 2, 1),
}


@pytest.fixture
def everything():
    part = grid(["digits"], ["resnet18-slim"], SCORES, REFINERS, (), ["augmented"])
    for upstream, gains in SCORES.items():
        for name, gain in zip(REFINERS, gains, strict=True):
            part_of = 100 if name.endswith("half") else 200
            values = BASE + gain + PAIRED * (name == "paper")
            write(made(cell(name, "augmented", upstream), values, validation=part_of))
    return settings(part, more=MORE, asked=("steering",))


def test_a_reading_is_paired_with_training_on_the_same_samples(everything):
    rows = steering.steering(read_cells(everything)).set_index(["upstream", "share"])
    assert set(rows["base"]) == {"paper"}
    expected = {
        ("randaugment", 1.0): (-1.0, 200, 0.0),
        ("randaugment", 0.5): (0.0, 100, 0.0),
        ("wrong30", 1.0): (3.0, 200, 0.3),
        ("wrong30", 0.5): (0.5, 100, 0.3),
    }
    assert {*rows.index} == {*expected}
    for key, (difference, samples, planted) in expected.items():
        row = rows.loc[key]
        assert row["difference"] == pytest.approx(difference, abs=1e-9)
        assert (row["samples"], row["planted"]) == (samples, planted)
    half = 4.302653 * 0.2 / np.sqrt(3)
    assert rows.loc[("wrong30", 1.0), "difference_high"] == pytest.approx(3 + half, rel=1e-5)


def test_the_table_says_where_which_is_better(everything):
    folder, sentences = table(everything, "steering")
    assert sentences == [
        "digits, resnet18-slim, augmented only: SAFLEX, as in the paper is better than train + "
        "validation in 2 of 4 combinations of size and wrong labels, worse in 1."
    ]
    written = (folder / "steering.md").read_text()
    assert "| +3.00 ± 0.50" in written
    assert {"steering-digits.svg", "steering-digits.png"} <= {p.name for p in folder.iterdir()}


def test_the_figure_has_every_difference_in_its_colour(everything):
    cells = read_cells(everything)
    rows = steering.steering(cells)
    (axes,) = steering.steering_figure(rows, cells.legend).axes
    assert sorted(p.get_facecolor() for p in axes.patches) == sorted(
        map(colour, rows["difference"])
    )
    texts = {text.get_text(): text.get_weight() for text in axes.texts}
    assert texts["+3.0"] == texts["−1.0"] == texts["+0.5"] == "bold"
    assert {"100", "200", "0 % wrong", "30 % wrong"} <= {*texts}


def test_a_profile_that_asks_for_no_part_has_none(cells):
    assert steering.steering(cells).empty
