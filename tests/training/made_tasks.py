"""A small classification problem to train on, and how to train it."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import torch

from replication.data.dataset import Dataset, Split
from replication.data.images import normalise
from replication.settings import Reading, Recipe, Training, datasets, models, refiners, upstreams
from replication.training.batches import Views
from replication.training.checkpoints import Checkpoints
from replication.training.loop import fit
from replication.training.problems.supervised import Supervised, Task

TRAINING = Training(
    epochs=4,
    batch_size=10,
    validation_batch=8,
    validation_sampling="uniform",
    weight_decay=0.0,
    drops=[0.5],
    select="last",
    patience=None,
    device="cpu",
)
NONE = refiners.Alone(kind="none", role="baseline")
BOTH = refiners.Alone(kind="none", role="control", train_on_validation=True)
SAFLEX = refiners.Saflex(kind="saflex", role="reading", reading="probs")
PERMUTED = refiners.Imitation(kind="permuted", of="saflex")
SMOOTHING = refiners.Imitation(kind="smoothing", of="saflex")
PROBS = Reading(space="probs")
SMALL = models.ResNet(kind="resnet", learning_rate=0.01, width=8)


def dataset(seed=0, side=8):
    random = np.random.default_rng(seed)

    def split(n):
        labels = random.integers(0, 2, n)
        pixels = random.integers(0, 120, (n, 1, side, side)) + 100 * labels[:, None, None, None]
        return Split(pixels.astype(np.uint8), labels)

    return Dataset("squares", 2, split(23), split(12), {"test": split(40)}, "accuracy", normalise)


def recipe(refiner=SAFLEX, reading=PROBS, model=SMALL, **training):
    return Recipe(
        dataset=datasets.MedMNIST(kind="medmnist"),
        model=model,
        upstream=upstreams.Identity(kind="none"),
        refiner=refiner,
        reading=None if refiner.kind == "none" else reading,
        training=TRAINING.model_copy(update=training),
        views=3,
    )


def task(recipe, clean=True, side=8, **changes):
    data = dataset(side=side)
    inputs, labels = (torch.from_numpy(a) for a in (data.train.inputs, data.train.labels))
    soft = torch.nn.functional.one_hot(labels, 2).float()
    views = Views(inputs.flip(-1)[None].repeat(3, 1, 1, 1, 1), soft[None].repeat(3, 1, 1))
    made = Task(data, (inputs, labels), views, None, clean, recipe, torch.device("cpu"))
    return dataclasses.replace(made, **changes)


def train(task, seed, folder: Path, tick=lambda: None):
    """The seed's record, trained or resumed with checkpoints in a folder."""
    training, both = task.recipe.training, task.recipe.refiner.train_on_validation
    select_best = training.select == "best" and not both
    kept = Checkpoints(folder, {})
    return fit(Supervised(task, seed), training, select_best, seed, kept, tick)


def score(seed, metric="loss", split="test"):
    return seed.value(split, "final", metric)


validation = partial(score, split="validation")
