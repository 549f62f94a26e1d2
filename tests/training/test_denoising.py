"""Training of diffusion models: what a batch is, that it learns, and what a kill changes."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from replication.data.dataset import Split
from replication.data.images import normalise
from replication.data.images.domains import DomainDataset
from replication.settings.generators import Adaptation as Tuning
from replication.settings.generators import ClassConditional, StableDiffusion
from replication.training import loop
from replication.training.checkpoints import Checkpoints
from replication.training.loop import fit
from replication.training.problems.adaptation import Adaptation
from replication.training.problems.denoising import Denoising

sys.path.append(str(Path(__file__).parents[1] / "upstream/diffusion"))
from made_makers import save

CPU = torch.device("cpu")
SETTINGS = ClassConditional(
    kind="class-conditional", channels=[8, 16], domains=["plain", "inverted"],
    training={"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "seed": 0, "dropped": 0.5},
)  # fmt: skip


def dataset(n=12, channels=1):
    random = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = (
        random.integers(0, 60, (n, channels, 8, 8)) + 90 * labels[:, None, None, None]
    ).astype(np.uint8)
    split = Split(images, labels)
    return DomainDataset(
        name="made", classes=3, train=split, validation=split, tests={"test": split},
        metric="accuracy", prepare=normalise, class_names=("wren", "owl", "jay"),
        domains={"plain": split, "inverted": Split(255 - images, labels)}, everything=split,
    )  # fmt: skip


def test_an_epoch_has_every_image_once_in_every_domain():
    problem = Denoising(SETTINGS, dataset(), CPU)
    batches = list(problem.batches(0))
    images = torch.cat([b.images for b in batches])
    found = ((images + 1) * 127.5).round().flatten(1).sum(1)
    both = torch.cat([torch.from_numpy(s.inputs) for s in dataset().domains.values()])
    assert sorted(found.tolist()) == sorted(both.flatten(1).sum(1).tolist())
    conditions = torch.cat([b.conditions for b in batches])
    share = (conditions == problem.none).float().mean()
    assert 0.2 < share < 0.8
    assert problem.none == 6
    dark = images.mean((1, 2, 3)) < -0.8  # of class 0 as it is
    assert set(conditions[dark].tolist()) <= {0, 6}


def test_the_loss_is_the_error_of_the_noise():
    problem = Denoising(SETTINGS, dataset(), CPU)
    (batch, *_) = problem.batches(0)
    a = problem.scheduler.alphas_cumprod[batch.times][:, None, None, None]
    noised = a.sqrt() * batch.images + (1 - a).sqrt() * batch.noise
    found = problem.model(noised, batch.times, batch.conditions).sample
    expected = (found - batch.noise).square().mean()
    assert torch.allclose(problem.loss(batch), expected, atol=1e-6)


def weights(problem):
    return torch.cat([t.flatten().float() for t in problem.learnt.state_dict().values()])


def trained(problem, folder, tick=lambda: None):
    recipe = problem.settings.training
    fit(problem, recipe, False, recipe.seed, Checkpoints(folder, {}), tick)
    return weights(problem)


def test_training_lowers_the_loss_and_a_kill_changes_nothing(tmp_path, monkeypatch):
    first = Denoising(SETTINGS, dataset(), CPU)
    with torch.no_grad():
        before = sum(float(first.loss(batch)) for batch in first.batches(0))
    whole = trained(Denoising(SETTINGS, dataset(), CPU), tmp_path / "whole")
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(Denoising(SETTINGS, dataset(), CPU), tmp_path / "cut", tick)
    resumed = Denoising(SETTINGS, dataset(), CPU)
    assert torch.equal(trained(resumed, tmp_path / "cut"), whole)
    again = Denoising(SETTINGS, dataset(), CPU)
    resumed.streams = again.streams
    with torch.no_grad():
        assert sum(float(resumed.loss(batch)) for batch in resumed.batches(0)) < 0.8 * before


@pytest.mark.parametrize("method", ["lora", "full"])
def test_fine_tuning_changes_what_it_should_alone(tmp_path, method):
    folder = save(tmp_path / "weights/all")
    training = Tuning(
        method=method, rank=2, template="a {}", epochs=1, batch_size=4, learning_rate=0.01, seed=0,
        dropped=0.5,
    )  # fmt: skip
    settings = StableDiffusion(
        kind="stable-diffusion", repository=str(folder), revision=None, side=16, training=training
    )
    one, other = (Adaptation(settings, dataset(channels=3), CPU) for _ in "ab")
    before = {name: t.clone() for name, t in one.model.state_dict().items()}
    texts = [p.clone() for p in one.pipeline.text_encoder.parameters()]
    learnt = trained(one, tmp_path / "a")
    assert torch.equal(learnt, trained(other, tmp_path / "b"))
    changed = {n for n, t in one.model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed
    if method == "lora":
        assert all("lora" in name for name in changed)
    same = zip(texts, one.pipeline.text_encoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_prompts_name_classes_and_some_are_empty(tmp_path):
    folder = save(tmp_path / "weights/all")
    training = Tuning(
        method="lora", rank=2, template="a {}", epochs=1, batch_size=12, learning_rate=0.01, seed=0,
        dropped=0.3,
    )  # fmt: skip
    settings = StableDiffusion(
        kind="stable-diffusion", repository=str(folder), revision=None, side=16, training=training
    )
    problem, asked = Adaptation(settings, dataset(channels=3), CPU), []
    texts = problem._texts
    problem._texts = lambda prompts: asked.extend(prompts) or texts(prompts)
    (batch,) = problem.batches(0)
    assert set(asked) == {"", "a wren", "a owl", "a jay"}
    assert batch.images.shape == (12, 4, 8, 8)
    assert dataclasses.is_dataclass(batch)
