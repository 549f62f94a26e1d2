"""The study of readings: which cells it has, its table, heat map and sentence."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_cells import READING, cell, grid, made, settings, write
from page_parser import Page

from replication.report import readings
from replication.report.drawing import readable
from replication.report.figures import of_readings
from replication.report.frames import read_cells
from replication.report.glance import verdict_sentences
from replication.report.sections import Report
from replication.settings import Posterior, Reading
from replication.stages.report import report
from replication.stages.table import table

FIELDS = {  # names say nothing
    f"x{i}": {"space": space, "sign": sign, "beta": beta}
    for i, (sign, space, beta) in enumerate(product((1, -1), ("probs", "logits"), (0.0, 1.0)))
}
MORE = {
    "readings": {**FIELDS, "ours": {"centre": True}, "belief": {"kind": "posterior"}},
    "refiners": {
        name: {**READING, "reading": name, "label": name} for name in (*FIELDS, "ours", "belief")
    },
}
CONTROLS = {"train-validation": 2.0, "reweighting": -1.0}
GAINS = {"x0": -30.0, "x1": 1.5, "x2": 4.0, "x3": 0.0, "x4": -75.0, "x5": -70.0, "x6": -60.0}
OTHERS = {"ours": 3.0, "belief": 1.0, **CONTROLS}
BATCHES = ("augmented", "clean-augmented")
ALONE, WOBBLE = np.array([80.0, 81.0, 82.0]), np.array([-0.1, 0.0, 0.1])
FOLDER = Path("results/quick/tables/readings")


def planned(asked=("readings",), datasets=("digits",)):
    names = ["none", *CONTROLS, *MORE["refiners"]]
    part = grid(datasets, ["resnet18-slim"], ["randaugment", "mixup"], names, ())
    return settings(part, more=MORE, asked=asked)


def populated(asked=("readings",), datasets=("digits",)):
    """x7 is not run; on clean + augmented samples all gains are halved."""
    for upstream, batch, dataset in product(("randaugment", "mixup"), BATCHES, datasets):
        write(made(cell("none", batch, upstream, dataset=dataset), ALONE))
        for name, gain in {**GAINS, **OTHERS}.items():
            half = 2 if batch == "clean-augmented" else 1
            values = ALONE + gain / half + WOBBLE * (name != "x3")
            write(made(cell(name, batch, upstream, dataset=dataset), values))
    return planned(asked, datasets)


def split(everything):
    known = Report.of(read_cells(everything))
    return known.studied, known.frame, known.cells.legend


def test_the_study_is_of_the_readings_of_the_text():
    studied, frame, legend = split(populated())
    assert set(studied["refiner"]) == {*FIELDS}
    assert set(frame["refiner"]) == {"none", *OTHERS}
    for row in studied.to_dict("records"):
        assert all(row[name] == value for name, value in FIELDS[row["refiner"]].items())
    said = verdict_sentences(frame, legend)
    assert [sentence.split(":")[0] for sentence in said] == ["ours", "belief"]
    assert readings.of_the_text(Reading())
    assert not readings.of_the_text(Reading(keep_labels=True))
    assert not readings.of_the_text(Posterior(kind="posterior"))


def test_a_profile_that_does_not_ask_for_it_is_as_before():
    everything = populated(asked=())
    studied, frame, _ = split(everything)
    assert studied.empty
    assert {*FIELDS} <= set(frame["refiner"])
    report(everything)
    assert 'id="readings"' not in Path("results/quick/report.html").read_text()
    with pytest.raises(ValueError, match="has no cell of readings"):
        table(everything, "readings")


def test_rows_are_the_fields_in_blocks_of_one_sign_with_the_best_control():
    studied, frame, legend = split(populated())
    derived, printed, others = readings.readings_grid(studied, frame, legend).groups
    assert [str(derived.heading), str(printed.heading)] == [*readings.SIGNS.values()]
    assert [row.label for row in derived.rows] == [
        "probabilities · mean · 1 · 0 · label",
        "probabilities · mean · 1 · 1 · label",
        "logits · mean · 1 · 0 · label",
        "logits · mean · 1 · 1 · label",
        readings.BEST,
    ]
    assert {row.label for row in others.rows} == {
        "ours",
        "belief",
        "on train + validation (control)",
        "reweighting (control)",
    }
    best = derived.rows[-1]
    assert str(best.cells[0]).startswith("+2.00 ± ")
    assert str(best.cells[1]).startswith("+1.00 ± ")
    assert {str(text) for text in printed.rows[3].cells} == {"not run"}


def test_a_field_that_differs_beside_the_levels_is_shown():
    more = {**MORE["readings"], "x7": {**FIELDS["x7"], "temperature": 0.5}}
    part = grid(["digits"], ["resnet18-slim"], ["mixup"], ["none", *FIELDS], ())
    everything = settings(part, more={**MORE, "readings": more}, asked=("readings",))
    studied, frame, legend = split(everything)
    laid_out = readings.readings_grid(studied, frame, legend)
    assert str(laid_out.columns[0]).endswith("weights · temperature")
    assert laid_out.groups[1].rows[-1].label.endswith("label · 0.5")


def test_a_refiner_s_own_validation_batch_is_shown():
    more = {**MORE["refiners"], "x7": {**MORE["refiners"]["x7"], "validation_batch": "all"}}
    part = grid(["digits"], ["resnet18-slim"], ["mixup"], ["none", *FIELDS], ())
    everything = settings(part, more={**MORE, "refiners": more}, asked=("readings",))
    studied, frame, legend = split(everything)
    laid_out = readings.readings_grid(studied, frame, legend)
    assert str(laid_out.columns[0]).endswith("weights · validation batch")
    printed = [row.label for row in laid_out.groups[1].rows]
    assert [label.rpartition(" · ")[2] for label in printed] == ["as set"] * 3 + ["all"]


def test_the_sentence_counts_and_names_the_largest_gain():
    studied, frame, legend = split(populated())
    assert readings.sentences(studied, frame, legend) == [
        "Labels as they come: of 7 readings in 4 settings, 2 have an interval above 0 (8 of 28 "
        "cells are above, 16 below); the largest gain is +4.00 ± 0.25 points (logits, loss mean, "
        "noise 1, β 0, weights label, sign as derived; digits, resnet18-slim · RandAugment, "
        "augmented only), where the best control, on train + validation, gains +2.00 ± 0.25."
    ]


def test_planted_wrong_labels_have_a_sentence_a_data_set():
    studied, frame, legend = split(populated(datasets=("digits", "pathmnist")))
    wrong = studied["dataset"].eq("pathmnist") | studied["upstream"].eq("mixup")
    low = studied["difference_low"].where(wrong, studied["difference_low"] - 10)
    studied = studied.assign(planted=0.6 * wrong, difference_low=low)
    right, digits, paths = readings.sentences(studied, frame, legend)
    assert right == (
        "Labels as they come: of 7 readings in 2 settings, none has an interval above 0 "
        "(0 of 14 cells are above, 8 below)."
    )
    assert digits.startswith("digits, wrong labels planted: of 7 readings in 2 settings, 2 have")
    assert paths.startswith("pathmnist, wrong labels planted: of 7 readings in 4 settings, 2 have")
    assert "pathmnist, resnet18-slim · " in paths


def test_nothing_run_is_said():
    studied, frame, legend = split(planned())
    assert readings.sentences(studied, frame, legend) == ["Labels as they come: not run."]
    assert of_readings(studied, frame, legend) == []
    assert len(readings.readings_grid(studied, frame, legend).groups) == 3


@pytest.mark.parametrize("narrow", [False, True])
def test_every_gain_is_a_tile_with_its_number_and_colour(narrow):
    studied, frame, legend = split(populated())
    (axes,) = readings.readings_figure(studied, frame, legend, narrow).axes
    texts = [text.get_text() for text in axes.texts]
    for number in ("−30", "+1.5", "+4.0", "−75", "+2.0", "+3.0"):
        assert texts.count(number) >= 2, number
    wide = (readings.TELEPHONE if narrow else readings.DESK).tile
    tiles = [patch for patch in axes.patches if patch.get_width() == wide]
    rows = len(FIELDS) + 2 + len(OTHERS)
    assert len(tiles) == 4 * rows
    bold = {text.get_text() for text in axes.texts if text.get_weight() == "bold"}
    assert "+4.0" in bold
    assert not {"−30", "+0.0"} & bold


def test_a_telephone_reads_the_heat_map_however_many_data_sets_there_are():
    datasets = ("digits", "pathmnist")
    studied, frame, legend = split(populated(datasets=datasets))
    figure = readings.readings_figure(studied, frame, legend, narrow=True)
    heads = [t.get_text() for t in figure.axes[0].texts if t.get_text().startswith(datasets)]
    assert [head.split(",")[0] for head in heads] == [*datasets]
    desk = readings.readings_figure(studied, frame, legend)
    assert figure.get_figwidth() < 4.4 < desk.get_figwidth()
    assert readable(figure) <= 355


def test_a_setting_in_which_no_reading_was_run_has_no_column():
    populated()
    studied, frame, legend = split(planned(datasets=("digits", "pathmnist")))
    assert studied["dataset"].nunique() == 2
    (axes,) = readings.readings_figure(studied, frame, legend).axes
    texts = {text.get_text() for text in axes.texts}
    assert any("digits" in text for text in texts)
    assert not any("pathmnist" in text for text in texts)


def test_the_settings_of_a_data_set_stand_side_by_side():
    studied, _, _ = split(planned(datasets=("digits", "pathmnist")))
    places = [setting[1] for setting in readings._settings(studied)]
    assert places == ["digits"] * 4 + ["pathmnist"] * 4


def test_what_is_written_and_the_page():
    everything = populated()
    folder, sentences = table(everything, "readings")
    assert {path.name for path in folder.iterdir()} == {
        *(f"readings.{suffix}" for suffix in ("csv", "md", "tex")),
        *(f"readings-gains.{suffix}" for suffix in ("svg", "png")),
    }
    assert sentences[0] in (FOLDER / "readings.md").read_text()
    frame = pd.read_csv(FOLDER / "readings.csv")
    assert len(frame) == 4 * len(FIELDS)
    assert {"space", "sign", "beta", "difference"} <= {*frame}
    assert report(everything)[0] == sentences[0]
    page = Page(Path("results/quick/report.html").read_text())
    assert len(page.ids) == len(set(page.ids))
    assert {"readings", "readings-gains"} <= {*page.ids}
    assert page.text.count(sentences[0]) == 3  # first screen, table, each reading in words
