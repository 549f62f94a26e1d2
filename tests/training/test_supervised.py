"""The loop: deterministic, resumable to the last digit, paired, and it says what went wrong."""

import dataclasses

import numpy as np
import pytest
import torch

from replication.data.dataset import Dataset, Split
from replication.settings import Refiner, ResNet, Saflex, Training
from replication.training import supervised
from replication.training.cell import images
from replication.training.checkpoints import Checkpoints
from replication.training.supervised import Task, Views, train

RECIPE = Training(
    epochs=4,
    batch_size=10,
    validation_batch=8,
    validation_sampling="uniform",
    weight_decay=0.0,
    drops=[0.5],
    select="last",
    patience=None,
    device="cpu",
    jobs=1,
    threads=1,
)
SAFLEX = Refiner(kind="saflex", saflex=Saflex(space="probs"))


def dataset(seed=0):
    random = np.random.default_rng(seed)

    def split(n):
        labels = random.integers(0, 2, n)
        pixels = random.integers(0, 120, (n, 1, 8, 8)) + 100 * labels[:, None, None, None]
        return Split(pixels.astype(np.uint8), labels)

    return Dataset("squares", 2, split(23), split(12), split(40))


def task(refiner=SAFLEX, recipe=RECIPE, clean=True, **changes):
    data = dataset()
    inputs, labels = (torch.from_numpy(a) for a in (data.train.inputs, data.train.labels))
    soft = torch.nn.functional.one_hot(labels, 2).float()
    views = Views(inputs.flip(-1)[None].repeat(3, 1, 1, 1, 1), soft[None].repeat(3, 1, 1))
    return dataclasses.replace(
        Task(
            dataset=data,
            pool=(inputs, labels),
            views=views,
            upstream=None,
            clean=clean,
            model=ResNet(kind="resnet", learning_rate=0.01, width=2),
            refiner=refiner,
            training=recipe,
            device=torch.device("cpu"),
            prepare=images,
        ),
        **changes,
    )


def checkpoints(folder):
    return Checkpoints(folder, {})


def nothing():
    pass


def test_the_same_seed_gives_the_same_figures_and_another_does_not(tmp_path):
    first, again = (train(task(), 0, checkpoints(tmp_path / n), nothing) for n in "ab")
    assert first == again
    assert train(task(), 1, checkpoints(tmp_path / "c"), nothing)["loss"] != first["loss"]


@pytest.mark.parametrize("select", ["last", "best"])
def test_an_interrupted_seed_ends_as_an_uninterrupted_one(tmp_path, monkeypatch, select):
    recipe = RECIPE.model_copy(update={"select": select})
    whole = train(task(recipe=recipe), 0, checkpoints(tmp_path / "whole"), nothing)

    monkeypatch.setattr(supervised, "SAVE_EVERY", -1.0)
    epochs = []

    def interrupt():
        epochs.append(None)
        if len(epochs) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(task(recipe=recipe), 0, checkpoints(tmp_path / "cut"), interrupt)
    assert list((tmp_path / "cut").rglob("seed-0.pt"))
    ticks = []
    resumed = train(task(recipe=recipe), 0, checkpoints(tmp_path / "cut"), lambda: ticks.append(1))
    assert resumed == whole
    assert len(ticks) == recipe.epochs
    assert not list((tmp_path / "cut").rglob("seed-0.pt"))
    assert checkpoints(tmp_path / "cut").finished(0) == whole


def test_other_settings_never_resume_from_these_checkpoints(tmp_path):
    Checkpoints(tmp_path, {"beta": 0}).finish(0, {"accuracy": 1.0})
    assert Checkpoints(tmp_path, {"beta": 0}).finished(0)
    assert Checkpoints(tmp_path, {"beta": 1}).finished(0) is None


def test_pickled_code_in_a_checkpoint_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("code ran",)

    kept = checkpoints(tmp_path)
    kept.save(0, {"epoch": Evil()})
    with pytest.raises(Exception, match=r"[Ww]eights"):
        kept.restore(0, torch.device("cpu"))


def test_methods_see_the_same_samples_in_the_same_order(monkeypatch, tmp_path):
    seen = {}

    def record(name, refiner):
        original = supervised._batches

        def spy(*arguments):
            for batch in original(*arguments):
                seen.setdefault(name, []).append((batch.y, batch.x_aug, batch.y_val))
                yield batch

        with monkeypatch.context() as patch:
            patch.setattr(supervised, "_batches", spy)
            train(task(refiner), 3, checkpoints(tmp_path / name), nothing)

    record("none", Refiner(kind="none"))
    record("saflex", SAFLEX)
    assert len(seen["none"]) == 4 * 3
    for ours, theirs in zip(seen["none"], seen["saflex"], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_every_epoch_sees_every_sample_once_in_even_batches(tmp_path):
    streams = {n: torch.Generator().manual_seed(i) for i, n in enumerate(supervised.STREAMS)}
    work = task()
    work = dataclasses.replace(work, pool=(work.pool[0], torch.arange(23) % 2))
    validation = (torch.zeros(12, 1, 8, 8), torch.zeros(12, dtype=torch.int64))
    batches = list(supervised._batches(work, validation, 0, 0, streams))
    assert [len(b.y) for b in batches] == [8, 8, 7]
    images_seen = torch.cat([b.x for b in batches]).flatten(1).float().sum(1)
    assert torch.equal(images_seen.sort()[0], work.pool[0].flatten(1).float().sum(1).sort()[0])


def test_train_plus_validation_takes_the_same_number_of_steps():
    work = task(Refiner(kind="none", train_on_validation=True))
    data = work.dataset
    both = (
        torch.from_numpy(np.concatenate([data.train.inputs, data.validation.inputs])),
        torch.from_numpy(np.concatenate([data.train.labels, data.validation.labels])),
    )
    work = dataclasses.replace(work, pool=both, views=None)
    streams = {n: torch.Generator().manual_seed(0) for n in supervised.STREAMS}
    validation = (torch.zeros(12, 1, 8, 8), torch.zeros(12, dtype=torch.int64))
    batches = list(supervised._batches(work, validation, 0, 0, streams))
    assert [len(b.y) for b in batches] == [8, 8, 7]


def test_a_loss_that_is_not_finite_names_the_epoch(tmp_path):
    work = task(Refiner(kind="none"), model=ResNet(kind="resnet", learning_rate=1e30, width=2))
    with pytest.raises(FloatingPointError, match=r"seed 0, epoch \d: .*not finite.*learning_rate"):
        train(work, 0, checkpoints(tmp_path), nothing)


def test_patience_stops_and_keeps_the_best_epoch(tmp_path):
    recipe = RECIPE.model_copy(update={"select": "best", "patience": 1, "epochs": 40, "drops": []})
    ticks = []
    stopped = train(task(recipe=recipe), 0, checkpoints(tmp_path / "a"), lambda: ticks.append(1))
    assert len(ticks) == 40
    assert stopped["epoch"] < 40
    short = recipe.model_copy(update={"epochs": stopped["epoch"] + 1, "patience": None})
    assert train(task(recipe=short), 0, checkpoints(tmp_path / "b"), nothing) == stopped


def test_balanced_validation_batches_hold_as_many_of_each_class():
    labels = torch.tensor([0] * 97 + [1] * 3)
    recipe = RECIPE.model_copy(update={"validation_sampling": "balanced", "validation_batch": 20})
    generator = torch.Generator().manual_seed(0)
    drawn = supervised._validation_batch(labels, recipe, generator)
    assert labels[drawn].bincount().tolist() == [10, 10]
    uniform = recipe.model_copy(update={"validation_sampling": "uniform"})
    drawn = supervised._validation_batch(labels, uniform, generator)
    assert len(drawn.unique()) == 20


def test_a_step_without_any_kept_sample_changes_nothing_by_the_augmented_loss():
    from saflex import soft_cross_entropy

    logits = torch.randn(5, 3, requires_grad=True)
    loss = soft_cross_entropy(logits, torch.full((5, 3), 1 / 3), torch.zeros(5))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0
