"""What was planted and what is found of it, against arithmetic by hand."""

import numpy as np
import pytest
from made_cells import cell, grid, made, settings, write

from replication.report import planted
from replication.report.figures import of_planted
from replication.report.frames import read_cells
from replication.report.plots import found_of_planted
from replication.report.tables import tidy

PLANTED = {"kind": "mislabelled", "share": 0.3, "label": "30 % wrong"}
MORE = {
    "upstreams": {
        "wrong30": PLANTED,
        "wrong60": {**PLANTED, "share": 0.6, "label": "60 % wrong"},
        "next60": {**PLANTED, "share": 0.6, "wrong": "next", "label": "60 % next"},
    },
    "readings": {"posterior": {"kind": "posterior"}},
    "refiners": {
        "posterior": {"kind": "saflex", "role": "reading", "reading": "posterior"},
        "confidence": {"kind": "confidence", "of": "posterior"},
        "oracle": {"kind": "oracle"},
    },
}
GAINS = {  # upstream: posterior, confidence, oracle
    "randaugment": (0.2, -0.1, 0.0),
    "wrong30": (1.0, 0.5, 4.0),
    "wrong60": (5.0, 1.5, 8.0),
    "next60": (3.0, 0.5, 4.0),
}


@pytest.fixture
def found():
    refiners = ["none", "posterior", "confidence", "oracle"]
    part = grid(["digits"], ["resnet18-slim"], GAINS, refiners, (), ["augmented"])
    everything = settings(part, more=MORE)
    base = np.array([80.0, 82.0, 81.0])
    for upstream, gains in GAINS.items():
        for name, gain in zip(refiners, (0.0, *gains), strict=True):
            said = {"wrong": 0.25, "other_weight": 0.1} if name == "posterior" else {}
            write(made(cell(name, "augmented", upstream), base + gain, **said))
    cells = read_cells(everything)
    return planted.planted_frame(tidy(cells), cells), cells.legend


def test_gains_as_shares_of_the_oracles(found):
    rows, _ = found
    own = rows[rows["refiner"] == "posterior"].set_index("upstream")
    assert own.loc["wrong30", "captured"] == pytest.approx(0.25)
    assert own.loc["wrong60", "captured"] == pytest.approx(5 / 8)
    assert np.isnan(own.loc["randaugment", "captured"])
    assert own["planted"].to_dict() == {
        "randaugment": 0.0,
        "wrong30": 0.3,
        "wrong60": 0.6,
        "next60": 0.6,
    }
    assert set(own["estimated"]) == {0.25}
    assert own["weight"].tolist() == pytest.approx([0.1] * 4)


def test_the_mean_is_over_settings_with_planted_labels(found):
    means = planted.captured(found[0], found[0]).set_index(["planted", "refiner"])
    assert means.loc[(0.3, "posterior"), "captured"] == pytest.approx(1 / 4)
    assert means.loc[(0.6, "posterior"), "captured"] == pytest.approx(8 / 12)
    assert means.loc[(0.6, "confidence"), "captured"] == pytest.approx(2 / 12)
    assert means.loc[(0.6, "oracle"), "captured"] == 1
    assert means["settings"].to_list() == [1] * 3 + [2] * 3
    assert set(means["metric"]) == {"accuracy"}


def test_the_table_says_so(found):
    grid = planted.planted_grid(*found)
    (group,) = grid.groups
    columns = [text.main for text in grid.columns]
    assert columns[:3] == [
        "Upstream, trained on",
        "Wrong labels, %",
        "Estimated, SAFLEX, posterior, %",
    ]
    row = next(row for row in group.rows if "60 %" in row.label)
    assert [text.main for text in row.cells][:2] == ["60", "25.0"]
    assert (
        "Augmented only, 60 % wrong, SAFLEX, posterior: +4.00 points of accuracy, mean of 2 "
        "settings, 67 % of the oracle's +6.00." in grid.notes
    )


def test_the_figure_has_each_gain_as_a_share_of_the_oracles(found):
    rows = planted.drawn_rows(*found)
    assert set(rows["upstream"]) == {
        "wrong30",
        "wrong60",
        "next60",
    }  # the oracle of right labels gains 0
    (axes,) = found_of_planted(rows, found[1]).axes
    marks = [float(*line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 1]
    expected = [100 * gain / oracle for *gains, oracle in [*GAINS.values()][1:] for gain in gains]
    assert marks == pytest.approx(expected)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == [
        "30 % wrong, augmented only (+4.0)",
        "60 % wrong, augmented only (+8.0)",
        "60 % next, augmented only (+4.0)",
    ]
    (drawn,) = of_planted(*found)
    assert "posterior: +5.00" in drawn.alt


def test_settings_without_an_oracle_are_left_out(found):
    part = grid(["digits"], ["resnet18-slim"], ["mixup"], ["none", "paper"], (), ["augmented"])
    cells = read_cells(settings(part))
    assert planted.planted_frame(tidy(cells), cells).empty
