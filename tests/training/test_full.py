"""The paper's grid of images: each of its sets trains, on stand-in files of the right shapes."""

from pathlib import Path

import numpy as np
import pytest
from medmnist import INFO

from replication import settings
from replication.training.cell import Cell

FULL = settings.load(Path(__file__).parents[2] / "params.yaml", "full")
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
    images = FULL.run.images
    assert images.datasets == [f"{name}mnist" for name in SETS]
    assert [FULL.models[name].width for name in images.models] == [64]
    recipe = images.training
    assert (recipe.epochs, recipe.batch_size, recipe.drops) == (100, 128, [0.5, 0.75])


@pytest.mark.parametrize("name", FULL.run.images.datasets)
def test_two_steps_of_each_set(tmp_path, name):
    """16 images in batches of 8, with the network, recipe and upstreams of the grid."""
    stand_in(tmp_path, name)
    images = FULL.run.images
    recipe = images.training.model_copy(update={"epochs": 1, "batch_size": 8})
    grid = images.model_copy(update={"training": recipe})
    run = FULL.run.model_copy(update={"folder": str(tmp_path), "images": grid})
    every = FULL.model_copy(update={"run": run})
    cell = next(
        c
        for c in settings.expected_cells(every)
        if c["dataset"] == name and (c["upstream"], c["refiner"]) == ("randaugment", "calibrated")
    )
    ticks = []
    work = Cell.of(every, cell, tmp_path / "checkpoints")
    result = work.train(0, lambda: ticks.append(1))
    assert len(ticks) == 1
    assert work.dataset(0).classes == len(INFO[name]["label"])
    assert np.isfinite([result["loss"], result["refiner"]["mean_abs_pi"]]).all()
