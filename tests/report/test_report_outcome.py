"""The first screen: sentences that count, and a figure that has every gain."""

import numpy as np
import pytest
from made_cells import cell, grid, made, settings, write
from matplotlib.figure import Figure

from replication.report import outcome
from replication.report.drawing import readable, style, svg
from replication.report.figures import of_profile
from replication.report.frames import read_cells
from replication.report.glance import distinct
from replication.report.plots import WIDTH
from replication.report.sections import Report

OURS = {"readings": {"calibrated": {"centre": True}}}


@pytest.fixture
def known():
    """The paper's reading harms in both cells; ours gains in the first, its controls not run; the
    second is not run."""
    names = ("none", "paper", "calibrated", "reweighting")
    batches = ("augmented", "clean-augmented")
    everything = settings(
        grid(["digits"], ["resnet18-slim"], ["mixup"], names, (), batches), more=OURS
    )
    alone, wobble = np.array([80.0, 81.0, 82.0]), np.array([-0.1, 0.0, 0.1])
    for batch in batches:
        write(made(cell("none", batch), alone))
        write(made(cell("paper", batch), alone - 36 + wobble))
        write(made(cell("reweighting", batch), alone + 5 * wobble))
    write(made(cell("calibrated"), alone + 2 + wobble))
    return Report.of(read_cells(everything))


def test_readings_of_the_text_and_ours_are_counted_apart_without_what_is_not_run(known):
    assert outcome.outcome_sentences(known.frame, known.cells) == [
        "Readings of the paper's text: of 2 cells run, 2 are worse than the upstream alone. "
        "Mean gain −36.00 points.",
        "Our own readings: of 1 cell run, 1 gains with a control not run. Mean gain +2.00 points.",
    ]


def test_nothing_run_is_said():
    cells = read_cells(settings(grid(["digits"], ["resnet18-slim"], ["mixup"])))
    report = Report.of(cells)
    said = outcome.outcome_sentences(report.frame, cells)
    assert said == ["Readings of the paper's text: none of 4 cells is run."]
    assert of_profile(report.frame, report.studied, cells.legend) == []


@pytest.mark.parametrize("width", [WIDTH, 8.6])
def test_every_gain_is_a_mark_that_is_filled_where_its_interval_is_clear_of_0(known, width):
    legend = known.cells.legend
    figure = outcome.outcome_figure(known.frame, known.studied, legend, width)
    (axes,) = figure.axes
    rows = distinct(known.frame)
    rows = rows[rows["difference"].notna()]
    marks = [x for marks in axes.collections for x, _ in marks.get_offsets()]
    assert sorted(marks) == pytest.approx(sorted(rows["difference"]))
    filled = [
        x
        for marks in axes.collections
        if len(marks.get_offsets()) and marks.get_facecolor()[0][:3].min() < 0.99
        for x, _ in marks.get_offsets()
    ]
    clear = (rows["difference_low"] > 0) | (rows["difference_high"] < 0)
    assert sorted(filled) == pytest.approx(sorted(rows.loc[clear, "difference"]))
    texts = {text.get_text() for text in axes.texts}
    assert {"0 ▲  2 ▼  of 2", "1 ▲  0 ▼  of 1", "0 ▲  0 ▼  of 2"} <= texts
    (paper,) = axes.patches
    ends = rows.loc[rows["role"] == "reading", ["paper_low", "paper_high"]]
    assert paper.get_x() == pytest.approx(ends["paper_low"].min())


def test_a_telephone_can_read_it(known):
    drawn = of_profile(known.frame, known.studied, known.cells.legend)
    assert [figure.name for figure in drawn] == ["outcome", "gains"]
    for figure in drawn:
        svg(figure.narrow)
        assert readable(figure.narrow) <= 348


def test_the_width_from_which_on_text_is_large_enough():
    with style():
        figure = Figure(figsize=(4, 1))
        figure.text(0, 0, "small", fontsize=6)
        figure.text(0, 0, "large", fontsize=12)
        figure.text(0, 0, "", fontsize=1)
    assert readable(figure) == 4 * 72 * 9 / 6
