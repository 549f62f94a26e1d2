"""Intervals, pairing, headroom and verdicts against hand-computed and scipy's figures."""

import numpy as np
import pandas as pd
import pytest
from made_cells import content, grid, name, write
from scipy.stats import sem, t, ttest_rel

from replication.report.cells import read_cells
from replication.report.methods import refiner_label
from replication.report.statistics import (
    VERDICTS,
    analyse,
    count_verdicts,
    diagnostics,
    headroom,
    intervals,
    verdict,
)

SETTING = ("digits", "resnet18-slim", "mixup", "augmented")
NAN = (np.nan, np.nan)


def read(folder, **values):
    """Cells of one setting, a list of percentages each; `clean` is training without upstream."""
    cells = []
    for refiner, scores in values.items():
        refiner = refiner.replace("_", "-")
        method = (*SETTING, refiner)
        if refiner.startswith("clean"):
            method = (*SETTING[:2], "none", "clean", refiner.removeprefix("clean-"))
        cells.append(name(*method))
        if scores is not None:
            write(folder, content(cells[-1], scores))
    return read_cells(folder, cells)


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


def test_tables_are_resplit_and_images_are_not(tmp_path):
    keys = ("wine", "mlp", "cutmix", "augmented", "none")
    for family, expected in (("tabular", 200 / 600), ("images", 0)):
        cell = name(*keys, family)
        write(tmp_path, content(cell, [70, 71]))
        assert read_cells(tmp_path, [cell]).scores["resplit"].eq(expected).all()


def test_differences_are_paired_by_seed(tmp_path):
    rng = np.random.default_rng(0)
    alone, refined = rng.uniform(70, 80, 6), rng.uniform(72, 82, 6)
    found = row(read(tmp_path, none=alone, paper=refined), "paper")
    low, high = ttest_rel(refined, alone).confidence_interval(0.95)
    assert found["difference"] * 100 == pytest.approx((refined - alone).mean())
    assert [found["difference_low"] * 100, found["difference_high"] * 100] == pytest.approx(
        [low, high]
    )
    assert found["difference_n"] == 6


def test_only_common_seeds_are_paired(tmp_path):
    cells = read(tmp_path, none=[70, 71, 72], paper=[75, 76, 77, 99])
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


def test_a_reading_is_put_to_the_test_by_the_controls_that_imitate_it(tmp_path):
    alone = np.array([70.0, 71.0, 72.0, 74.0])
    wobble = np.array([0.1, -0.1, 0.2, 0.0])
    cells = read(
        tmp_path,
        none=alone,
        paper=alone + 1 - wobble,
        calibrated=alone + 4 + wobble,
        theorem_1=None,
        mine=alone + 4 + wobble,
        permuted=alone + 1 + wobble,
        smoothing=alone - 1 + wobble,
        permuted_paper=alone + 1 + wobble,
        smoothing_paper=alone - 1 + wobble,
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


def test_a_control_of_ones_own_reading_is_not_called_saflex():
    assert refiner_label("permuted-mine") == "permuted-mine (control)"
    assert refiner_label("mine") == "SAFLEX, mine"


def test_one_seed_is_undecided_and_a_missing_upstream_not_run(tmp_path):
    assert row(read(tmp_path / "a", none=[70], paper=[75]), "paper")["verdict"] == "undecided"
    assert row(read(tmp_path / "b", none=None, paper=[75, 76]), "paper")["verdict"] == "not run"


def test_an_undefined_score_is_undecided(tmp_path):
    cells = read(tmp_path, none=[70, 71], paper=[75, float("nan")])
    assert row(cells, "paper")["verdict"] == "undecided"


def test_headroom_is_over_the_best_of_three(tmp_path):
    cells = read(
        tmp_path,
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


def test_headroom_without_anything_to_compare(tmp_path):
    assert headroom(read(tmp_path, none=[70, 72])).empty


def test_diagnostics_are_means_over_seeds(tmp_path):
    cell = name(*SETTING, "paper")
    file = content(cell, [70, 71], kept=0.5)
    file["seeds"][1]["refiner"]["kept"] = 1.0
    write(tmp_path, file)
    assert diagnostics(read_cells(tmp_path, [cell])).loc[0, "kept"] == 0.75


def test_diagnostics_that_are_not_measured_are_blank(tmp_path):
    cells = [name(*SETTING, refiner) for refiner in ("calibrated", "paper", "soft-augmentation")]
    of_pi, of_labels = ["mean_abs_pi", "agreement", "reliability"], ["other", "other_weight"]
    measured = [(0.3, 0.4, 0.2, 0.0), (0.3, 1.0, 0.0, 0.0), (0.0, 1.0, 0.2, 0.2)]
    for cell, (pi, reliability, *others) in zip(cells, measured, strict=True):
        done = {"mean_abs_pi": pi, "agreement": 0.2, "reliability": reliability}
        done |= dict(zip(of_labels, others, strict=True))
        write(tmp_path, content(cell, [70, 71], **done))
    blank = diagnostics(read_cells(tmp_path, cells)).set_index("refiner").isna()
    assert not blank.loc["calibrated"].any()
    assert blank.loc["paper", of_pi].tolist() == [False, False, True]
    assert blank.loc["paper", of_labels].all()
    assert blank.loc["soft-augmentation", of_pi].all()
    assert not blank.loc["soft-augmentation", of_labels].any()


def test_nothing_run(tmp_path):
    cells = read_cells(tmp_path, grid("digits", "resnet18-slim", ("mixup",)))
    assert set(analyse(cells)["verdict"].dropna()) == {"not run"}
    assert headroom(cells).empty
    assert diagnostics(cells).empty
