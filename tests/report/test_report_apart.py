"""The gain by the paper's protocol, taken apart into terms that add up."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_cells import READING, cell, grid, made, settings, write
from page_parser import Page

from replication.report import apart
from replication.report.figures import of_apart
from replication.report.frames import read_cells
from replication.report.tables import tidy
from replication.settings import Posterior, Reading, load
from replication.stages.report import report
from replication.stages.table import table

HALF = {"kind": "saflex", "role": "control", "of": "paper"}
MORE = {
    "readings": {"a": {"keep_labels": True}, "b": {"weight_rule": "all"}, "c": {"beta": 1.0}},
    "refiners": {
        "x": {**HALF, "reading": "b", "label": "labels alone"},
        "y": {**HALF, "reading": "c"},
        "z": {**HALF, "reading": "a", "label": "weights alone"},
    },
}
REFINERS = ("none", "paper", "train-validation", *MORE["refiners"])
VALUES = {
    ("none", "augmented"): [70.0, 71.0, 73.0],
    ("none", "clean-augmented"): [75.0, 76.5, 77.0],
    ("train-validation", "clean-augmented"): [77.0, 78.0, 80.0],
    ("z", "clean-augmented"): [75.5, 76.0, 77.0],
    ("x", "clean-augmented"): [73.0, 74.0, 75.5],
    ("y", "clean-augmented"): [1.0, 2.0, 3.0],
    ("paper", "clean-augmented"): [74.0, 75.5, 78.0],
    ("paper", "augmented"): [40.0, 41.0, 42.0],
}
FOLDER = Path("results/quick/tables/apart")


def planned(refiners=REFINERS, asked=("apart",)):
    part = grid(["digits"], ["resnet18-slim"], ["randaugment"], refiners, ())
    return settings(part, more=MORE, asked=asked)


def populated(without=(), values=VALUES, **options):
    for (refiner, batch), scores in values.items():
        if refiner not in without:
            write(made(cell(refiner, batch, "randaugment"), scores))
    return planned(**options)


def terms(everything):
    cells = read_cells(everything)
    (row,) = apart.apart(cells).to_dict("records")
    return row


def test_terms_are_paired_by_seed_and_add_up():
    row = terms(populated())
    assert row["refiner"] == "paper"
    value = {key: np.array(scores) for key, scores in VALUES.items()}
    alone, both = value["none", "augmented"], value["none", "clean-augmented"]
    expected = {
        "clean": both - alone,
        "validation": value["train-validation", "clean-augmented"] - both,
        "weights": value["z", "clean-augmented"] - both,
        "labels": value["x", "clean-augmented"] - both,
        "total": value["paper", "clean-augmented"] - alone,
    }
    expected["rest"] = expected["total"] - sum(expected[name] for name in apart.PARTS)
    assert {*expected} == {*apart.TERMS}
    for name, of_seeds in expected.items():
        half = 4.302653 * of_seeds.std(ddof=1) / np.sqrt(3)
        assert row[name] == pytest.approx(of_seeds.mean())
        assert row[f"{name}_high"] - row[name] == pytest.approx(half, rel=1e-6)
        assert row[f"{name}_n"] == 3
    assert sum(row[name] for name in (*apart.PARTS, "rest")) == pytest.approx(row["total"])


def test_halves_are_known_by_their_fields_alone():
    grid_of = read_cells(planned()).grid
    group = grid_of[grid_of["upstream"] == "randaugment"]
    read = group[group["refiner"] == "paper"].iloc[0].to_dict()
    found = apart._refiners(group, read)
    assert found == {
        "reading": "paper",
        "alone": "none",
        "train-validation": "train-validation",
        "weights": "z",
        "labels": "x",
    }


def test_the_halves_of_the_papers_readings_are_defined():
    with chdir(Path(__file__).parents[2]):
        everything = load("quick")
    for name in ("paper", "paper-tables"):
        own = {n for n, r in everything.refiners.items() if r.of == name and r.kind == "saflex"}
        changed = [apart.changes(everything.reading(name), everything.reading(n)) for n in own]
        assert all(half in changed for half in apart.HALVES.values())


def test_what_was_not_run_says_so_and_is_part_of_the_rest():
    everything = populated(without=("x", "train-validation"))
    row = terms(everything)
    assert np.isnan([row["labels"], row["validation"]]).all()
    assert row["clean"] + row["weights"] + row["rest"] == pytest.approx(row["total"])
    cells = read_cells(everything)
    laid_out = apart.apart_grid(apart.apart(cells), tidy(cells), cells.legend)
    (line,) = laid_out.groups[0].rows
    texts = [*map(str, line.cells)]
    assert texts[1] == texts[3] == "not run"
    assert texts[4].endswith("with validation data and labels")
    assert line.label == "RandAugment · SAFLEX, as in the paper"


def test_all_terms_are_of_the_seeds_that_every_cell_has():
    fewer = VALUES | {("x", "clean-augmented"): [73.0, 74.0]}
    row = terms(populated(values=fewer))
    assert {row[f"{name}_n"] for name in apart.TERMS} == {2}
    assert sum(row[name] for name in (*apart.PARTS, "rest")) == pytest.approx(row["total"])


def test_without_the_reading_there_is_neither_total_nor_rest():
    row = terms(populated(without=("paper",)))
    assert np.isnan([row["total"], row["rest"]]).all()
    assert row["clean"] > 0


def test_a_reading_that_was_not_run_gets_neither_sentence_nor_figure():
    cells = read_cells(populated(without=("paper", "x", "z")))
    frame = apart.apart(cells)
    assert frame["clean"].notna().all()
    assert apart.apart_sentences(frame, cells.legend) == []
    assert of_apart(frame, cells.legend) == []


def test_nothing_run_and_no_upstream():
    row = terms(planned())
    assert np.isnan([row[name] for name in apart.TERMS]).all()
    cells = read_cells(planned())
    assert of_apart(apart.apart(cells), cells.legend) == []
    clean = grid(["digits"], ["resnet18-slim"], (), clean=("none",))
    assert apart.apart(read_cells(settings(clean, asked=("apart",)))).empty


def test_the_table_its_figure_and_its_section():
    everything = populated()
    folder, sentences = table(everything, "apart")
    assert sentences == [
        "SAFLEX, as in the paper, by the paper's protocol: 1 of 1 setting shows a gain over the "
        "upstream on augmented samples; in 1 of these the clean batch alone shows one."
    ]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *(f"apart.{suffix}" for suffix in ("csv", "md", "tex")),
        *(f"apart-terms.{suffix}" for suffix in ("svg", "png")),
    }
    frame = pd.read_csv(FOLDER / "apart.csv")
    assert frame["clean"].tolist() == pytest.approx([29 / 6])
    report(everything)
    page = Page(Path("results/quick/report.html").read_text())
    assert len(page.ids) == len(set(page.ids))
    assert {"apart", "apart-terms"} <= {*page.ids}
    assert "does not train on validation data" in page.text


def test_a_profile_that_does_not_ask_for_it_has_no_section():
    everything = populated(asked=())
    report(everything)
    assert 'id="apart"' not in Path("results/quick/report.html").read_text()
    with pytest.raises(ValueError, match="has no cell of apart"):
        table(everything, "apart")


def test_bars_end_where_the_total_does():
    cells = read_cells(populated())
    frame = apart.apart(cells)
    figure = apart.apart_figure(frame, cells.legend)
    (axes,) = [axes for part in figure.subfigs for axes in part.axes]
    *steps, total = axes.patches
    assert len(steps) == len(apart.TERMS) - 1
    starts = [bar.get_x() for bar in steps]
    ends = [bar.get_x() + bar.get_width() for bar in steps]
    assert starts == pytest.approx([0.0, *ends[:-1]])
    assert total.get_x() == 0
    assert ends[-1] == pytest.approx(total.get_width()) == pytest.approx(frame["total"].iloc[0])
    assert [label.get_text() for label in axes.get_yticklabels()] == [*apart.TITLES.values()]


def test_a_posterior_has_no_halves():
    more = {
        "readings": {**MORE["readings"], "p": {"kind": "posterior"}},
        "refiners": {**MORE["refiners"], "p": {**READING, "reading": "p"}},
    }
    part = grid(["digits"], ["resnet18-slim"], ["mixup"], ["none", "p", *MORE["refiners"]], ())
    assert apart.apart(read_cells(settings(part, more=more)))["refiner"].tolist() == ["p"]
    weights = Reading(keep_labels=True)
    assert apart.changes(Reading(), weights) == {"keep_labels": True}
    assert len(apart.changes(Posterior(kind="posterior"), weights)) > 1
