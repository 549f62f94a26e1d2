"""Recomputed cells beside committed ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from replication import settings, verify
from replication.cells import KEYS, Cell, CellFile, Data, Score, Seed, write

ROOT = Path(__file__).parents[1]


def file(values, samples=1000, refiner="none"):
    cell = Cell(
        experiment="tabular", dataset="breast_cancer", model="trees", upstream="none",
        batch="clean", refiner=refiner,
    )  # fmt: skip
    seeds = [
        Seed(seed=i, scores=[Score(split="test", weights="final", metric="auroc", value=v)])
        for i, v in enumerate(values)
    ]
    data = Data(files={}, train=10, validation=10, tests={"test": samples})
    return CellFile(cell=cell, settings={}, data=data, metric="auroc", seeds=seeds)


def rows(*files):
    return pd.concat(map(verify.summary, files))


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.03, 0.05])
def test_the_bound_is_that_of_paired_differences(gap):
    random = np.random.default_rng(0)
    one = random.normal(0.8, 0.05, 8)
    other = one - gap + random.normal(0, 0.02, 8)
    (row,) = verify.compare(rows(file(one)), rows(file(other))).to_dict("records")
    test = ttest_rel(one, other)
    assert row["state"] == ("agrees" if test.pvalue >= 0.05 else "differs")
    low, high = test.confidence_interval(0.95)
    assert row["bound"] == pytest.approx((high - low) / 2)


def test_many_cells_agree_together_by_chance():
    random, agree = np.random.default_rng(1), 0
    for _ in range(100):
        ours, theirs = (
            rows(*(file(random.normal(0.8, 0.01, 5), refiner=f"r{i}") for i in range(20)))
            for _ in range(2)
        )
        agree += (verify.compare(ours, theirs)["state"] == "agrees").all()
    assert 88 <= agree <= 100


@pytest.mark.parametrize("seeds", [1, 3])
def test_cells_without_variance_may_be_a_test_sample_apart(seeds):
    states = [
        verify.compare(rows(file([0.9] * seeds, 100)), rows(file([v] * seeds, 100)))["state"].item()
        for v in (0.9, 0.91, 0.92)
    ]
    assert states == ["agrees", "agrees", "differs" if seeds > 1 else "undecided"]


def test_what_is_missing_and_what_is_new():
    ours, theirs = rows(file([0.9, 0.8], refiner="a")), rows(file([0.9, 0.8], refiner="b"))
    found = verify.compare(ours, theirs).set_index("refiner")["state"]
    assert found.to_dict() == {"a": "new", "b": "missing"}


def test_other_settings_data_or_seeds_are_told():
    one = file([0.9, 0.8])
    others = [
        one.model_copy(update={"settings": {"epochs": 1}}),
        one.model_copy(update={"data": one.data.model_copy(update={"files": {"a": "b"}})}),
        one.model_copy(update={"seeds": one.seeds[:1]}),
    ]
    for other in others:
        assert verify.compare(rows(other), rows(one))["state"].item() == "other"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The settings, the trees of quick as they were computed, and the embedded data."""
    for name in ("params.yaml", "profiles", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "src/replication/data/embedded", tmp_path / "data/sets")
    monkeypatch.chdir(tmp_path)
    method = ("quick", "tabular", "breast_cancer", "trees", "none", "none")
    run("replication.stages.train", *method)
    return tmp_path


def run(module, *words):
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True)
    return done.returncode, done.stderr + done.stdout


def test_a_profile_is_held_to_its_reference(project):
    assert run("replication.verify", "quick")[1].startswith("results/reference/quick/cells.csv: ")
    assert run("replication.verify", "quick", "--write") == (
        0,
        "results/reference/quick/cells.csv\n",
    )
    assert run("replication.verify", "quick") == (0, "1 agrees\n")
    code, said = run("replication.verify", "quick", "--recompute", "3")
    assert (code, said.splitlines()[-1]) == (0, "1 agrees")

    (cell,) = verify.computed(settings.load("quick"))
    path = cell.result("quick")
    there = verify.cells.result(cell, "quick")
    worse = [
        seed.model_copy(
            update={"scores": [s.model_copy(update={"value": s.value / 2}) for s in seed.scores]}
        )
        for seed in there.seeds
    ]
    write(path, there.model_copy(update={"seeds": worse}))
    for words in ([], ["--recompute", "1"]):
        code, said = run("replication.verify", "quick", *words)
        assert code == 1
        assert "differs: tabular breast_cancer trees none clean none: " in said
    path.unlink()
    for words in ([], ["--recompute", "1"], ["--recompute", "0"]):
        code, said = run("replication.verify", "quick", *words)
        assert code
        assert "Traceback" not in said
    assert [*KEYS][:2] == ["experiment", "dataset"]
