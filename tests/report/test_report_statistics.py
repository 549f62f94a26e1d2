"""Intervals, pairing, headroom and verdicts against hand-computed and scipy's figures."""

import numpy as np
import pandas as pd
import pytest
from made_cells import DEFINITIONS, cell, grid, made, one, settings, write, write_raw
from scipy.stats import sem, t, ttest_rel

from replication.cells import Score
from replication.report.diagnostics import diagnostics
from replication.report.frames import Column, read_cells
from replication.report.statistics import (
    VERDICTS,
    analyse,
    count_verdicts,
    headroom,
    intervals,
    verdict,
)

NAN = (np.nan, np.nan)


def read(more=None, **values):
    """Cells of one setting, a list of percentages each; `clean` is training without upstream."""
    named = {name.replace("_", "-"): scores for name, scores in values.items()}
    clean = [name.removeprefix("clean-") for name in named if name.startswith("clean")]
    refiners = [name for name in named if not name.startswith("clean")]
    for name, scores in named.items():
        of = cell(name)
        if name.startswith("clean"):
            of = cell(name.removeprefix("clean-"), "clean", "none")
        if scores is not None:
            write(made(of, scores))
    return read_cells(one(refiners=refiners, clean=clean, more=more))


def undefined(of, values):
    """A result file with a NaN, which is no JSON and is read nevertheless."""
    write_raw(made(of, values).model_dump(mode="json"), of.result("quick"))


def row(cells, refiner):
    return analyse(cells).set_index("refiner").loc[refiner]


def one_group(values, resplit=0.0):
    frame = pd.DataFrame({"value": values, "resplit": resplit})
    return intervals(frame.groupby([0] * len(values)))


def test_interval_of_known_numbers():
    table = one_group([1.0, 2.0, 3.0, 6.0])
    n, mean, sd, low, high = table.iloc[0]
    assert (n, mean) == (4, 3)
    assert sd == pytest.approx(np.sqrt(14 / 3))
    assert high - mean == pytest.approx(3.182446 * np.sqrt(14 / 3) / 2)
    assert (low, high) == pytest.approx(t.interval(0.95, 3, 3, sem([1, 2, 3, 6])))


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [np.nan, np.nan]])
def test_no_interval_from_one_value_or_nan(values):
    table = one_group(values)
    assert table[["sd", "low", "high"]].isna().all(axis=None)
    assert table["mean"].isna().iloc[0] == (len(values) > 1)


def test_without_variance_the_interval_is_the_mean():
    low, high = one_group([0.5, 0.5])[["low", "high"]].iloc[0]
    assert low == high == 0.5


def test_splits_that_overlap_have_the_variance_of_nadeau_and_bengio():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    low, high = one_group(values, resplit=20 / 65)[["low", "high"]].iloc[0]
    error = np.sqrt((1 / 4 + 20 / 65) * values.var(ddof=1))
    assert [low, high] == pytest.approx(t.interval(0.95, 3, 3, error))


def test_repeated_splits_cover_as_announced():
    """Losses of a mean fitted on 65 of 100 rows, tested on 20 others, over ten splits."""
    draws = np.random.default_rng(0)
    missed = {0.0: 0, 20 / 65: 0}
    for _ in range(300):
        losses = []
        rows = draws.normal(size=100)
        for _ in range(10):
            order = draws.permutation(rows)
            losses.append(((order[65:85] - order[:65].mean()) ** 2).mean())
        for resplit in missed:
            low, high = one_group(losses, resplit)[["low", "high"]].iloc[0]
            missed[resplit] += not low <= 1 + 1 / 65 <= high
    assert missed[20 / 65] < 0.15 * 300 < missed[0.0]


def test_tables_are_resplit_and_images_are_not():
    for experiment, dataset, model, upstream, expected in (
        ("tabular", "wine", "mlp", "cutmix", 200 / 600),
        ("images", "digits", "resnet18", "mixup", 0),
    ):
        write(made(cell("none", "augmented", upstream, model, dataset, experiment), [70, 71]))
        everything = one(experiment, dataset, model, upstream, ["none"])
        assert read_cells(everything).scores["resplit"].eq(expected).all()


def test_differences_are_paired_by_seed():
    rng = np.random.default_rng(0)
    alone, refined = rng.uniform(70, 80, 6), rng.uniform(72, 82, 6)
    found = row(read(none=alone, paper=refined), "paper")
    low, high = ttest_rel(refined, alone).confidence_interval(0.95)
    assert found["difference"] * 100 == pytest.approx((refined - alone).mean())
    assert [found["difference_low"] * 100, found["difference_high"] * 100] == pytest.approx(
        [low, high]
    )
    assert found["difference_n"] == 6


def test_only_common_seeds_are_paired():
    cells = read(none=[70, 71, 72], paper=[75, 76, 77, 99])
    found = row(cells, "paper")
    assert (found["n"], found["difference_n"]) == (4, 3)
    assert found["difference"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("gain", "controls", "expected"),
    [
        (None, [None, None], "not run"),
        (NAN, [(1, 2), (1, 2)], "undecided"),
        ((-2, -1), [(1, 2), (1, 2)], "harm"),
        ((-1, 0), [(1, 2), (1, 2)], "not reproduced"),
        ((0, 1), [(1, 2), (1, 2)], "not reproduced"),
        ((0, 0), [(1, 2), (1, 2)], "not reproduced"),
        ((1, 2), [(1, 2), (0, 2)], "gain, matched by a control"),
        ((1, 2), [(-3, -2), (1, 2)], "gain, matched by a control"),
        ((1, 2), [None, (-1, 2)], "gain, matched by a control"),
        ((1, 2), [None, (1, 2)], "gain, control not run"),
        ((1, 2), [(1, 2), NAN], "gain, control not run"),
        ((1, 1), [(1, 1), (0.1, 2)], "reproduced"),
    ],
)
def test_verdicts(gain, controls, expected):
    assert verdict(gain, controls) == expected
    assert expected in VERDICTS


ALONE = np.array([70.0, 71.0, 72.0, 74.0])
WOBBLE = np.array([0.1, -0.1, 0.2, 0.0])
MINE = {**DEFINITIONS["refiners"]["calibrated"], "label": "mine"}


def test_a_reading_is_put_to_the_test_by_the_controls_that_imitate_it():
    cells = read(
        none=ALONE,
        paper=ALONE + 1 - WOBBLE,
        calibrated=ALONE + 4 + WOBBLE,
        theorem_1=None,
        mine=ALONE + 4 + WOBBLE,
        permuted=ALONE + 1 + WOBBLE,
        smoothing=ALONE - 1 + WOBBLE,
        permuted_paper=ALONE + 1 + WOBBLE,
        smoothing_paper=ALONE - 1 + WOBBLE,
        more={"refiners": {"mine": MINE}},
    )
    table = analyse(cells)
    assert table.set_index("refiner")["verdict"].dropna().to_dict() == {
        "paper": "gain, matched by a control",
        "calibrated": "reproduced",
        "theorem-1": "not run",
        "mine": "gain, control not run",
    }
    assert count_verdicts(table) == dict.fromkeys(VERDICTS, 0) | {
        "gain, matched by a control": 1,
        "reproduced": 1,
        "gain, control not run": 1,
        "not run": 1,
    }


def test_whose_control_it_is_stands_in_its_field_and_not_in_its_name():
    """`permuted-mine` and `smoothing-mine` are of another reading, and other names are of mine."""
    controls = {
        "permuted-mine": {"kind": "permuted", "of": "theorem-1"},
        "smoothing-mine": {"kind": "smoothing", "of": "theorem-1"},
        "shuffled": {"kind": "permuted", "of": "mine"},
        "soft": {"kind": "smoothing", "of": "mine"},
    }
    table = analyse(
        read(
            none=ALONE,
            mine=ALONE + 4 + WOBBLE,
            theorem_1=ALONE + 4 + WOBBLE,
            permuted_mine=ALONE + 4 - WOBBLE,
            smoothing_mine=ALONE,
            shuffled=ALONE + 1 - WOBBLE,
            soft=ALONE,
            more={"refiners": {"mine": MINE, **controls}},
        )
    ).set_index("refiner")
    assert table.loc["mine", "verdict"] == "reproduced"
    assert table.loc["theorem-1", "verdict"] == "gain, matched by a control"
    assert table.loc["mine", "against_permuted"] * 100 == pytest.approx(3 + 2 * WOBBLE.mean())


def test_another_column_is_another_split_or_weights():
    of = cell("none")
    file = made(of, [70, 71])
    seeds = [
        seed.model_copy(
            update={
                "scores": [
                    *seed.scores,
                    Score(split="ood", weights="ensembled", metric="accuracy", value=value),
                ]
            }
        )
        for seed, value in zip(file.seeds, (0.5, 0.6), strict=True)
    ]
    write(file.model_copy(update={"seeds": seeds}))
    cells = read_cells(one(refiners=["none"]))
    assert analyse(cells)["mean"].tolist() == [0.705]
    other = analyse(cells, Column("ood", "ensembled")).iloc[0]
    assert (other["mean"], other["split"], other["weights"]) == (0.55, "ood", "ensembled")
    assert analyse(cells, Column("ood", "final"))["mean"].isna().all()


def test_one_seed_is_undecided():
    assert row(read(none=[70], paper=[75]), "paper")["verdict"] == "undecided"


def test_without_its_upstream_alone_a_reading_is_not_run():
    assert row(read(none=None, paper=[75, 76]), "paper")["verdict"] == "not run"


def test_an_undefined_score_is_undecided():
    undefined(cell("paper"), [75, float("nan")])
    cells = read(none=[70, 71], paper=None)
    assert row(cells, "paper")["verdict"] == "undecided"


def test_headroom_is_over_the_best_of_three():
    cells = read(
        none=[70, 72],
        train_validation=[73, 76],
        clean_none=[80, 81],
        clean_train_validation=[75, 75],
    )
    found = headroom(cells)
    assert len(found) == 1
    assert found.loc[0, "best"] == "clean samples alone"
    low, high = ttest_rel([80, 81], [70, 72]).confidence_interval(0.95)
    assert (found.loc[0, ["mean", "low", "high"]] * 100).tolist() == pytest.approx([9.5, low, high])


def test_headroom_without_anything_to_compare():
    assert headroom(read(none=[70, 72])).empty


def test_headroom_looks_at_what_was_trained_on_and_not_at_names():
    both = {"kind": "none", "role": "control", "train_on_validation": True}
    cells = read(none=[70, 72], pooled=[73, 76], more={"refiners": {"pooled": both}})
    assert headroom(cells).loc[0, "best"] == "upstream on train + validation"


def test_diagnostics_are_means_over_seeds():
    file = made(cell("paper"), [70, 71], kept=0.5)
    second = file.seeds[1].model_copy(update={"refiner": {"kept": 1.0}})
    write(file.model_copy(update={"seeds": [file.seeds[0], second]}))
    assert diagnostics(read_cells(one(refiners=["paper"]))).loc[0, "kept"] == 0.75


def test_diagnostics_that_are_not_measured_are_blank():
    refiners = ("calibrated", "paper", "soft-augmentation")
    of_pi, of_labels = ["mean_abs_pi", "agreement", "reliability"], ["other", "other_weight"]
    measured = [(0.3, 0.4, 0.2, 0.0), (0.3, 1.0, 0.0, 0.0), (0.0, 1.0, 0.2, 0.2)]
    for refiner, (pi, reliability, *others) in zip(refiners, measured, strict=True):
        done = {"mean_abs_pi": pi, "agreement": 0.2, "reliability": reliability}
        done |= dict(zip(of_labels, others, strict=True))
        write(made(cell(refiner, upstream="crop"), [70, 71], **done))
    part = grid(["digits"], ["resnet18-slim"], ["crop"], ["calibrated", "paper"], (),
                ["augmented"], ["soft-augmentation"])  # fmt: skip
    blank = diagnostics(read_cells(settings(part))).set_index("refiner").isna()
    assert not blank.loc["calibrated"].any()
    assert blank.loc["paper", of_pi].tolist() == [False, False, True]
    assert blank.loc["paper", of_labels].all()
    assert blank.loc["soft-augmentation", of_pi].all()
    assert not blank.loc["soft-augmentation", of_labels].any()


def test_nothing_run():
    cells = read_cells(settings(grid(["digits"], ["resnet18-slim"], ["mixup"])))
    assert set(analyse(cells)["verdict"].dropna()) == {"not run"}
    assert headroom(cells).empty
    assert diagnostics(cells).empty
