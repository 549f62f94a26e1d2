"""Cells with an altered validation set stand in a section of their own, and in no other table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_cells import DEFINITIONS, cell, grid, made, populate, settings, write

from replication.report import validation
from replication.report.frames import read_cells
from replication.report.tables import tidy
from replication.stages.report import report
from replication.stages.table import table

SETS = {  # name: share, noise, gain in points
    "{}": (1.0, 0.0, 3.0),
    "few-{}": (0.25, 0.0, 1.0),
    "{}-half": (0.5, 0.0, 2.0),
    "wrong-{}": (1.0, 0.4, -1.0),
}
ALTERED = {
    name.format(reading): {
        **DEFINITIONS["refiners"][reading],
        "validation_share": share,
        "validation_noise": noise,
    }
    for reading in ("paper", "calibrated")
    for name, (share, noise, _) in SETS.items()
}
MORE = {
    "refiners": {
        name: entry for name, entry in ALTERED.items() if name not in DEFINITIONS["refiners"]
    }
}
RESULTS = Path("results/quick")


def swept_settings(batches=("augmented",)):
    part = grid(["digits"], ["resnet18-slim"], ["randaugment"], ["none", *ALTERED], (), batches)
    return settings(part, more=MORE)


def populated(batches=("augmented",)):
    """The cells of two readings on every validation set beside the upstream alone."""
    for batch in batches:
        write(made(cell("none", batch, "randaugment"), [80.0, 81.0, 82.0]))
        for reading in ("paper", "calibrated"):
            for name, (share, _, gain) in SETS.items():
                values = np.array([80.0, 81.0, 82.0]) + gain + [-0.1, 0.0, 0.1]
                of = cell(name.format(reading), batch, "randaugment")
                write(made(of, values, validation=round(200 * share)))
    return swept_settings(batches)


def split(everything):
    cells = read_cells(everything)
    return (*validation.split(tidy(cells), cells), cells.legend)


def test_variants_are_found_with_what_they_were_given():
    kept, swept, _ = split(populated())
    assert set(kept["refiner"]) == {"none", "paper", "calibrated"}
    assert len(swept) == 2 * len(SETS)
    for row in swept.to_dict("records"):
        name = next(n for n in SETS if n.format(row["base"]) == row["refiner"])
        share, noise, gain = SETS[name]
        assert row["base"] in ("paper", "calibrated")
        assert (row["share"], row["noise"], row["samples"]) == (share, noise, 200 * share)
        assert row["difference"] == pytest.approx(gain)
        half = 4.302653 * 0.1 / np.sqrt(3)
        assert row["difference_high"] - gain == pytest.approx(half, rel=1e-4)


def test_ordinary_profiles_have_none(cells):
    frame = tidy(cells)
    kept, swept = validation.split(frame, cells)
    assert swept.empty
    pd.testing.assert_frame_equal(kept, frame)


def test_one_sort_of_refiner_in_two_names_is_none():
    twice = {name: DEFINITIONS["refiners"]["paper"] for name in ("first", "second")}
    part = grid(["digits"], ["resnet18-slim"], ["mixup"], ["none", *twice], (), ["augmented"])
    everything = settings(part, more={"refiners": twice})
    populate(everything, seeds=2)
    kept, swept, _ = split(everything)
    assert swept.empty
    assert len(kept) == 3


def test_what_was_not_run_says_so():
    write(made(cell("none", upstream="randaugment"), [80.0, 81.0, 82.0]))
    kept, swept, legend = split(swept_settings())
    assert set(kept["refiner"]) == {"none", "paper", "calibrated"}
    rows = [row for g in validation.validation_grid(swept, legend).groups for row in g.rows]
    assert {str(text) for row in rows for text in row.cells} == {"not run"}
    assert "25 % of the split" in [row.label for row in rows]


def test_the_section_and_the_figure_are_in_the_report():
    everything = populated(("augmented", "clean-augmented"))
    report(everything)
    page = (RESULTS / "report.html").read_text()
    assert '<details class="table" name="tables" id="validation"' in page
    assert page.count('id="validation-digits"') == 1
    for name in ("validation", "table1"):
        table(everything, name)
    written = (RESULTS / "tables/validation/validation.md").read_text()
    assert "| 200 samples, 40 % wrong labels | 80.00 ± " in written
    assert "| 50 samples | 82.00 ± 2.7" in written
    for name in ("table1/table1.md", "glance/glance.md", "glance/readme.md"):
        assert "few-" not in (RESULTS / "tables" / name).read_text()
    frame = pd.read_csv(RESULTS / "tables/validation/validation.csv")
    assert len(frame) == 2 * 2 * len(SETS)
    for suffix in ("svg", "png"):
        path = RESULTS / f"tables/validation/validation-digits.{suffix}"
        assert path.stat().st_size > 1000
    counted = json.loads((RESULTS / "summary.json").read_text())
    assert set(counted["images"]) == {"paper", "calibrated"}


def test_the_figure_shows_every_gain_where_it_belongs_in_its_readings_colour():
    _, swept, legend = split(populated())
    by_size, by_noise = validation.validation_figure(swept, legend).axes
    colours = [legend.look(name).colour for name in ("paper", "calibrated")]
    for axes, expected in (
        (by_size, {50: 1.0, 100: 2.0, 200: 3.0}),
        (by_noise, {0: 3.0, 40: -1.0}),
    ):
        assert [container.lines[0].get_color() for container in axes.containers] == colours
        for container in axes.containers:
            points = np.array(container.lines[0].get_data(), float)
            np.testing.assert_allclose(points, [list(expected), list(expected.values())])
