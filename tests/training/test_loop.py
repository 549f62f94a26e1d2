"""The loop: deterministic, resumable to the last digit, and it says what went wrong."""

import numpy as np
import pytest
import torch
from made_tasks import BOTH, NONE, PERMUTED, SAFLEX, recipe, score, task, train

from replication.settings import Reading, models
from replication.training import loop
from replication.training.checkpoints import Checkpoints


def test_the_same_seed_gives_the_same_figures_and_another_does_not(tmp_path):
    first, again = (train(task(recipe()), 0, tmp_path / n) for n in "ab")
    assert first == again
    assert score(train(task(recipe()), 1, tmp_path / "c")) != score(first)


def interrupt_after(epochs):
    ticks = []

    def tick():
        ticks.append(None)
        if len(ticks) == epochs:
            raise KeyboardInterrupt

    return tick


def interrupted(work, folder, monkeypatch, epochs=3):
    """Train seed 0 for three epochs, and leave its state in the folder."""
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(work, 0, folder, interrupt_after(epochs))
    assert list(folder.rglob("seed-0.pt"))


@pytest.mark.parametrize(
    ("select", "refiner", "options"),
    [
        ("last", SAFLEX, {}),
        ("best", SAFLEX, {}),
        ("last", PERMUTED, {"shrink": True}),
        ("best", BOTH, {}),
        ("last", NONE, {}),
    ],
)
def test_an_interrupted_seed_ends_as_an_uninterrupted_one(
    tmp_path, monkeypatch, select, refiner, options
):
    work = task(recipe(refiner, Reading(space="probs", **options), select=select))
    whole = train(work, 0, tmp_path / "whole")
    interrupted(work, tmp_path / "cut", monkeypatch)
    ticks = []
    resumed = train(work, 0, tmp_path / "cut", lambda: ticks.append(1))
    assert resumed == whole
    assert len(ticks) == work.recipe.training.epochs
    assert not list((tmp_path / "cut").rglob("seed-0.pt"))
    assert Checkpoints(tmp_path / "cut", {}).finished(0) == whole


def damage(path, how):
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    elif how == "empty":
        torch.save({}, path)
    else:
        torch.save(torch.load(path, weights_only=True) | {"seed": 7}, path)


@pytest.mark.parametrize("how", ["truncated", "empty", "of another seed"])
def test_a_damaged_or_foreign_state_is_passed_over(tmp_path, monkeypatch, how):
    work = task(recipe())
    whole = train(work, 0, tmp_path / "whole")
    interrupted(work, tmp_path / "cut", monkeypatch)
    (path,) = (tmp_path / "cut").rglob("seed-0.pt")
    damage(path, how)
    with pytest.warns(UserWarning, match=r"seed-0\.pt: passed over, the seed starts afresh"):
        assert train(work, 0, tmp_path / "cut") == whole


def test_a_loss_that_is_not_finite_names_the_epoch(tmp_path):
    model = models.ResNet(kind="resnet", learning_rate=1e30, width=8)
    with pytest.raises(FloatingPointError, match=r"seed 0, epoch \d: .*not finite.*learning_rate"):
        train(task(recipe(NONE, model=model)), 0, tmp_path)


def test_patience_stops_and_keeps_the_best_epoch(tmp_path):
    options = {"select": "best", "drops": []}
    ticks = []
    long = task(recipe(epochs=40, patience=1, **options))
    stopped = train(long, 0, tmp_path / "a", lambda: ticks.append(1))
    assert len(ticks) == 40
    assert stopped.epoch < 40
    short = task(recipe(epochs=stopped.epoch + 1, **options))
    assert train(short, 0, tmp_path / "b") == stopped


def test_a_checkpoint_fits_the_other_memory_layout(tmp_path, monkeypatch):
    model = models.ResNet(kind="resnet", learning_rate=1e-4, width=8)

    def work(channels_last):
        return task(recipe(model=model, channels_last=channels_last, epochs=2))

    whole = train(work(False), 0, tmp_path / "whole")
    interrupted(work(True), tmp_path / "cut", monkeypatch, epochs=1)
    resumed = train(work(False), 0, tmp_path / "cut")
    assert score(resumed) == pytest.approx(score(whole), rel=1e-3)


def test_every_figure_is_finite(tmp_path):
    result = train(task(recipe()), 0, tmp_path)
    assert {s.split for s in result.scores} == {"test", "validation"}
    assert np.isfinite([s.value for s in result.scores]).all()
    assert set(result.refiner) >= {"kept", "relabelled", "agreement", "entropy"}
