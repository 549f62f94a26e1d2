"""scikit-learn's handwritten digits, kept in git so that the quick profile needs no network."""

from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from replication.data.dataset import Dataset, Split
from replication.data.images import normalise
from replication.data.images.archive import classes_of, read
from replication.settings.datasets import Digits


def load(name: str, source: Digits, folder: Path, seed: int = 0) -> Dataset:
    """1,797 images of 8x8 pixels (Alpaydin and Kaynak 1998, UCI), stratified; the rest is the test.

    ValueError if fewer samples than train + validation + one of each class are there.
    """
    path = folder / "digits.npz"
    images, labels = read(path, "images", "labels")
    labels = classes_of(path, "labels", labels)
    classes = int(labels.max()) + 1
    if images.ndim != 3 or images.dtype != np.uint8 or len(images) != len(labels):
        raise ValueError(
            f"{path}: images has shape {images.shape} and type {images.dtype} beside {len(labels)} "
            "labels; one grey image in uint8 for each label is expected"
        )
    if source.train + source.validation > len(labels) - classes:
        raise ValueError(
            f"datasets.{name}: train + validation <= {len(labels) - classes} is expected, "
            f"got {source.train} + {source.validation}"
        )
    rest = np.arange(len(labels))
    parts = []
    for size in (source.train, source.validation):
        part, rest = train_test_split(
            rest, train_size=size, stratify=labels[rest], random_state=source.split_seed
        )
        parts.append(part)
    train, validation, test = (
        Split(images[part][:, None], labels[part]) for part in (*parts, rest)
    )
    return Dataset(name, classes, train, validation, {"test": test}, "accuracy", normalise)
