"""The 2D toy: its truth against brute force, the pairing of runs, and what it reports."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import matplotlib.pyplot as plt
import pytest
import torch

from replication import toy
from replication.report import toy_figures
from replication.report.legend import Legend
from replication.settings import load
from replication.stages import toy as stage

SETTINGS = {
    "train": 24, "validation": 18, "test": 300, "spread": 0.2, "twist": 1.5, "hidden": 16,
    "learning_rate": 0.03, "steps": 6, "batch_size": 24, "batch": "augmented", "grid": 15,
    "sigmas": [0.0, 0.5], "seeds": 2, "refiners": ["none", "paper", "calibrated"],
    "picture": {"sigma": 0.5, "seed": 1, "steps": [0, 6], "refiners": ["calibrated"]},
}  # fmt: skip
PROFILE = load("quick")
LEGEND = Legend.of(PROFILE)
NONE = (PROFILE.refiners["none"], None)
BOTH = (PROFILE.refiners["train-validation"], None)
PAPER, CALIBRATED = (
    (PROFILE.refiners[name], PROFILE.reading(name).model_copy(update={"how": "jvp"}))
    for name in ("paper", "calibrated")
)
REFINERS = [NONE, BOTH, PAPER, CALIBRATED, toy.ORACLE]
IDS = ["none", "train-validation", "paper", "calibrated", "oracle"]


@pytest.fixture
def world():
    return toy.truth(SETTINGS)


@pytest.fixture(scope="module")
def results():
    return stage.compute(SETTINGS, {"none": NONE, "paper": PAPER, "calibrated": CALIBRATED})


def test_bayes_labels_are_those_of_the_largest_density(world):
    x = 2 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    for point, label, logs in zip(x, world.labels(x), world.log_densities(x), strict=True):
        densities = []
        for arm in range(toy.CLASSES):
            total = 0.0
            for j in range(8):
                radius = 0.4 + 1.6 * j / 7
                angle = 2 * math.pi * arm / 3 + 1.5 * radius
                centre = (radius * math.cos(angle), radius * math.sin(angle))
                squared = math.dist(centre, point.tolist()) ** 2
                total += math.exp(-squared / (2 * 0.2**2)) / (2 * math.pi * 0.2**2) / 8
            densities.append(total)
        assert label == max(range(3), key=densities.__getitem__)
        assert logs.exp().tolist() == pytest.approx(densities, rel=1e-3, abs=1e-30)


def test_densities_integrate_to_one(world):
    density = toy.map_plane(lambda x: world.log_densities(x)[:, 1].exp(), 400)
    assert density.sum() * (2 * toy.EXTENT / 399) ** 2 == pytest.approx(1, abs=1e-3)


def test_hardly_a_true_point_lies_in_an_empty_region(world):
    points = world.draw(20_000, torch.Generator().manual_seed(0))
    assert 0.001 < world.empty(points.x).float().mean() < 0.011
    assert world.empty(torch.tensor([[9.0, 9.0]])).all()
    assert not world.empty(world.centres).any()
    assert points.y.bincount().tolist() == [6667, 6667, 6666]


def test_without_noise_points_stay_and_with_it_they_move_by_sigma():
    still, moved = (toy.train(SETTINGS, NONE, s, 3, [0])["snapshots"][0] for s in (0.0, 0.5))
    assert torch.equal(still["x"], still["origin"])
    assert (moved["x"] - moved["origin"]).square().mean().sqrt() == pytest.approx(0.5, rel=0.3)


def test_every_refiner_starts_from_the_same_batch_and_network():
    first = [toy.train(SETTINGS, r, 0.5, 1, [0])["snapshots"][0] for r in REFINERS if r != BOTH]
    for key in ("x", "origin", "upstream", "regions"):
        assert all(torch.equal(snapshot[key], first[0][key]) for snapshot in first), key
    twin, other = (toy.sample(SETTINGS, seed).test.x for seed in (1, 2))
    assert torch.equal(toy.sample(SETTINGS, 1).test.x, twin)
    assert not torch.equal(twin, other)


@pytest.mark.parametrize("refiner", REFINERS, ids=IDS)
def test_runs_repeat_and_leave_the_global_state_alone(refiner):
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    once, again = (toy.train(SETTINGS, refiner, 0.5, 2, [3, 6]) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    for a, b in zip(once["snapshots"], again["snapshots"], strict=True):
        assert all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)
    for key in set(once) - {"model", "snapshots"}:
        assert once[key] == again[key]
    for a, b in zip(once["model"].parameters(), again["model"].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("refiner", REFINERS, ids=IDS)
def test_snapshots_hold_weights_labels_and_decisions(refiner):
    run = toy.train(SETTINGS, refiner, 0.5, 0, [0, 2, 6])
    assert [snapshot["step"] for snapshot in run["snapshots"]] == [0, 2, 6]
    for snapshot in run["snapshots"]:
        assert snapshot["labels"].sum(1).allclose(torch.ones(24), atol=1e-5)
        total = snapshot["weights"].sum().item()
        assert total == pytest.approx(1, abs=1e-5) or total == 0
        assert snapshot["regions"].shape == (15, 15)
    assert torch.equal(run["snapshots"][-1]["regions"], toy.decisions(run["model"], 15))


def test_decisions_are_laid_out_by_height():
    above = toy.map_plane(lambda x: x[:, 1] > 0, 4)
    assert above.tolist() == [[False] * 4] * 2 + [[True] * 4] * 2


def test_the_oracle_gives_true_labels_and_leaves_the_gaps_out():
    run = toy.train(SETTINGS, toy.ORACLE, 0.8, 0)
    assert run["wrong_corrected"] == 1
    assert run["right_relabelled"] == run["empty_weight"] == 0


def test_training_on_validation_points_uses_them():
    sets = toy.sample(SETTINGS, 0)
    (snapshot,) = toy.train(SETTINGS, BOTH, 0.0, 0, [0])["snapshots"]
    rows = {tuple(point) for point in snapshot["origin"].tolist()}
    assert rows & {tuple(point) for point in sets.validation.x.tolist()}
    assert rows & {tuple(point) for point in sets.train.x.tolist()}


def test_clean_batches_change_the_training():
    both = {**SETTINGS, "batch": "clean-augmented"}
    runs = [toy.train(settings, NONE, 0.8, 0)["model"][0].weight for settings in (SETTINGS, both)]
    assert not torch.equal(*runs)


def test_diagnosis_of_a_hand_made_batch(world):
    """Four points on the arms of classes 0, 0, 1, 2, one in a gap: one wrong label, dropped."""
    arm = world.centres[:, 7]
    x = torch.stack([arm[0], arm[0], arm[1], arm[2]])[None]
    upstream = torch.tensor([[0, 1, 1, 2]])
    labels = torch.nn.functional.one_hot(torch.tensor([[0, 0, 1, 1]])).float()
    labels = torch.nn.functional.pad(labels, (0, 1))
    pi = torch.zeros(1, 4, 3)
    pi[0, 1, 1] = -1
    found = toy.diagnose(
        world, x, upstream, labels, torch.tensor([[0.4, 0.05, 0.3, 0.25]]), pi, torch.ones(1)
    )
    assert found == {
        "wrong": 0.25, "empty": 0.0, "wrong_dropped": 1.0, "wrong_corrected": 1.0,
        "right_dropped": 0.0, "right_relabelled": pytest.approx(1 / 3),
        "wrong_weight": pytest.approx(0.2), "empty_weight": None, "detection": 1.0,
        "reliability": 1.0,
    }  # fmt: skip


def test_results_are_json_and_hold_every_run(results):
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    names = ("none", "paper", "calibrated", toy.ORACLE)
    assert [(r["sigma"], r["refiner"]) for r in results["records"]] == [
        (sigma, name) for sigma in SETTINGS["sigmas"] for name in names
    ]
    assert all(len(r["accuracy"]) == len(r["detection"]) == 2 for r in results["records"])
    again = toy.train(SETTINGS, PAPER, 0.5, 1)["accuracy"]
    (paper,) = (r for r in results["records"] if (r["sigma"], r["refiner"]) == (0.5, "paper"))
    assert paper["accuracy"][1] == round(again, 4)
    first, last = results["pictures"]["calibrated"]
    assert (first["step"], last["step"]) == (0, 6)
    assert [len(row) for row in last["regions"]] == [15] * 15
    assert len(results["points"]["validation"]["x"]) == 18


def test_figures_are_drawn_from_the_results_alone(results):
    before = plt.get_fignums()
    above, below = toy_figures.figure_2a(results, LEGEND).axes
    assert {text.get_text() for text in above.texts} >= {
        "upstream alone", "SAFLEX, calibrated", "SAFLEX, as in the paper", "no augmentation",
    }  # fmt: skip
    alone, paper = (
        [r["accuracy"] for r in results["records"] if r["refiner"] == name]
        for name in ("none", "paper")
    )
    gains = [100 * (sum(a) - sum(b)) / 2 for a, b in zip(paper, alone, strict=True)]
    assert any(list(line.get_ydata()) == pytest.approx(gains) for line in below.lines)
    assert len(toy_figures.figure_2b(results, LEGEND).axes) == 2
    assert plt.get_fignums() == before


def test_a_toy_that_diverges_ends_with_file_and_remedy(monkeypatch):
    def diverged(*_):
        raise ValueError("pi: finite (B, K) with B, K >= 1 expected, got nan")

    monkeypatch.setattr(stage, "compute", diverged)
    monkeypatch.setattr(sys, "argv", ["toy", "quick"])
    with pytest.raises(SystemExit, match=r"profiles/quick\.yaml: toy: pi: .*learning_rate"):
        stage.main()


CHILD = """
import os, time
from replication import toy
from replication.stages import toy as stage

def told(_):
    print(os.getpid(), flush=True)
    time.sleep(60)

toy.sweep = lambda settings, swept, seeds, over: list(over(told, [None]))
stage.compute({"refiners": [], "seeds": 0}, {})
"""


def test_workers_end_with_the_stage_that_was_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFLEX_JOBS", "1")
    path = tmp_path / "child.py"
    path.write_text(CHILD)
    parent = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    try:
        while os.path.exists(f"/proc/{worker}"):
            assert time.monotonic() < deadline, "the worker lives on"
            time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
