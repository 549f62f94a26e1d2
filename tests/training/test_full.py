"""The paper's grid of images: each of its sets trains, on stand-in files of the right shapes."""

from pathlib import Path

import numpy as np
import pytest
from medmnist import INFO

from replication import settings
from replication.training import cell
from replication.training.cell import Work

FULL = settings.load("full")
IMAGES = FULL.profile.images
SETS = ["path", "derma", "tissue", "blood", "oct", "organa", "organc", "organs"]


def stand_in(folder: Path, name: str) -> None:
    """A file of the published layout with 16 training images, and a label of every class."""
    random, channels = np.random.default_rng(0), INFO[name]["n_channels"]
    shape = (28, 28) if channels == 1 else (28, 28, channels)
    labels = np.arange(16)[:, None] % len(INFO[name]["label"])
    arrays = {"train_labels": labels, "val_labels": labels[:12], "test_labels": labels[:12]}
    for part, n in (("train", 16), ("val", 12), ("test", 12)):
        arrays[f"{part}_images"] = random.integers(0, 256, (n, *shape), np.uint8)
    (folder / name).mkdir(parents=True)
    np.savez(folder / name / f"{name}.npz", **arrays)


def test_the_grid_is_the_papers():
    assert IMAGES.datasets == [f"{name}mnist" for name in SETS]
    assert [FULL.models[name].width for name in IMAGES.models] == [64]
    recipe = IMAGES.training
    assert (recipe.epochs, recipe.batch_size, recipe.drops) == (100, 128, [0.5, 0.75])


@pytest.mark.parametrize("name", IMAGES.datasets)
def test_two_steps_of_each_set(tmp_path, monkeypatch, name):
    """16 images in batches of 8, with the network, recipe and upstreams of the grid."""
    stand_in(tmp_path, name)
    monkeypatch.setattr(cell, "SETS", tmp_path)
    planned = next(
        p
        for p in settings.methods(FULL)
        if p.method.dataset == name
        and (p.method.upstream, p.method.refiner) == ("randaugment", "calibrated")
    )
    training = planned.recipe.training.model_copy(update={"epochs": 1, "batch_size": 8})
    recipe = planned.recipe.model_copy(update={"training": training})
    planned = planned.model_copy(update={"recipe": recipe})
    work = Work.of(planned, "full", tmp_path / "checkpoints")[0]
    ticks = []
    seed = work.train(0, lambda: ticks.append(1))
    assert len(ticks) == 1
    assert work.dataset(0).classes == len(INFO[name]["label"])
    assert np.isfinite([s.value for s in seed.scores] + [seed.refiner["mean_abs_pi"]]).all()
    result = work.result([seed])
    assert (result.metric, result.split, result.data.tests) == ("accuracy", "test", {"test": 12})
