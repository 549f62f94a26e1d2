"""The sweep over validation sets stands in a section of its own, and in no other table."""

import json

import numpy as np
import pandas as pd
import pytest
from made_cells import content, grid, name, populate, write

from replication.report import sweep
from replication.report.cells import read_cells
from replication.report.tables import tidy
from replication.stages.report import report

SETTING = ("digits", "resnet18-slim", "randaugment", "augmented")
SETS = {  # name: share, noise, gain in points
    "": (1.0, 0.0, 3.0),
    "-size25": (0.25, 0.0, 1.0),
    "-size50": (0.5, 0.0, 2.0),
    "-noise40": (1.0, 0.4, -1.0),
}


def made(folder, settings=(SETTING,)):
    """The cells of two readings on every validation set beside the upstream alone."""
    cells = []
    for setting in settings:
        cells.append(name(*setting, "none"))
        write(folder, content(cells[-1], [80.0, 81.0, 82.0]))
        for reading in ("paper", "calibrated"):
            for suffix, (share, noise, gain) in SETS.items():
                cells.append(name(*setting, reading + suffix))
                values = np.array([80.0, 81.0, 82.0]) + gain + [-0.1, 0.0, 0.1]
                file = content(cells[-1], values)
                options = {"validation_share": share, "validation_noise": noise}
                file["settings"]["refiner"] = {"kind": "saflex", "saflex": reading, **options}
                file["data"]["validation"] = round(200 * share)
                write(folder, file)
    return cells


def split(folder, cells):
    read = read_cells(folder, cells)
    return sweep.split(tidy(read), read)


def test_variants_are_found_with_what_they_were_given(tmp_path):
    kept, swept = split(tmp_path, made(tmp_path))
    assert set(kept["refiner"]) == {"none", "paper", "calibrated"}
    assert len(swept) == 2 * len(SETS)
    for row in swept.to_dict("records"):
        share, noise, gain = SETS[row["refiner"].removeprefix(row["reading"])]
        assert row["reading"] in ("paper", "calibrated")
        assert (row["share"], row["noise"], row["samples"]) == (share, noise, 200 * share)
        assert row["difference"] == pytest.approx(gain)
        half = 4.302653 * 0.1 / np.sqrt(3)
        assert row["difference_high"] - gain == pytest.approx(half, rel=1e-4)


def test_ordinary_profiles_have_no_sweep(quick):
    folder, cells = quick
    frame = tidy(read_cells(folder, cells))
    kept, swept = split(folder, cells)
    assert swept.empty
    pd.testing.assert_frame_equal(kept, frame)


def test_one_sort_of_refiner_in_two_names_is_no_sweep(tmp_path):
    cells = [name(*SETTING, refiner) for refiner in ("none", "first", "second")]
    for cell in cells:
        write(tmp_path, content(cell, [80.0, 81.0]) | {"settings": {"refiner": {"kind": "x"}}})
    kept, swept = split(tmp_path, cells)
    assert swept.empty
    assert len(kept) == 3


def test_the_section_and_the_figure_are_in_the_report(tmp_path):
    settings = (SETTING, (*SETTING[:3], "clean-augmented"))
    cells = made(tmp_path, settings)
    report(read_cells(tmp_path, cells), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert '<section aria-labelledby="table-validation">' in page
    assert page.count('id="table-validation-digits"') == 1
    table = (tmp_path / "tables/table-validation.md").read_text()
    assert "| 200 samples, 40 % wrong labels | 80.00 ± " in table
    assert "| 50 samples | 82.00 ± 2.7" in table
    assert "size25" not in (tmp_path / "tables/table1.md").read_text()
    assert "size25" not in (tmp_path / "tables/glance.md").read_text()
    written = pd.read_csv(tmp_path / "tables/table-validation.csv")
    assert len(written) == 2 * 2 * len(SETS)
    for suffix in ("svg", "png"):
        assert (tmp_path / f"figures/table-validation-digits.{suffix}").stat().st_size > 1000
    verdicts = json.loads((tmp_path / "summary.json").read_text())["verdicts"]
    assert sum(verdicts.values()) == 2 * 2


def test_the_figure_shows_every_gain_where_it_belongs(tmp_path):
    _, swept = split(tmp_path, made(tmp_path))
    by_size, by_noise = sweep.sweep_figure(swept).axes
    for axes, expected in (
        (by_size, {50: 1.0, 100: 2.0, 200: 3.0}),
        (by_noise, {0: 3.0, 40: -1.0}),
    ):
        assert len(axes.containers) == 2
        for container in axes.containers:
            points = np.array(container.lines[0].get_data(), float)
            np.testing.assert_allclose(points, [list(expected), list(expected.values())])


def test_tables_7_and_8_stand_beside_the_papers(tmp_path):
    upstreams = ("randaugment", "crop", "lp-a3")
    cells = grid("bloodmnist", "resnet18", upstreams)
    cells.append(name("bloodmnist", "resnet18", "crop", "augmented", "soft-augmentation"))
    populate(tmp_path, cells[:-1], seeds=3)
    write(tmp_path, content(cells[-1], [81.0, 82.0, 83.0]))
    report(read_cells(tmp_path, cells), tmp_path)
    seventh = (tmp_path / "tables/table7.md").read_text()
    assert "Soft-Augmentation | 82.00 ± 2.48<br>paper 95.96 ± 0.28" in seventh
    assert "RandAugment" not in seventh
    eighth = (tmp_path / "tables/table8.md").read_text()
    assert "paper 96.97 ± 0.06" in eighth
    assert "LP-A3, augmented only" in eighth
    assert "Soft-Augmentation" not in (tmp_path / "tables/table1.md").read_text()
