"""scikit-learn's handwritten digits, kept in git so that the quick profile needs no network."""

from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from replication.data.dataset import Dataset, Split


def digits(folder: Path, train: int, validation: int, split_seed: int) -> Dataset:
    """1,797 images of 8x8 pixels (Alpaydin and Kaynak 1998, UCI), stratified; the rest is the test.

    ValueError if fewer samples than train + validation + one of each class are there.
    """
    with np.load(folder / "digits.npz", allow_pickle=False) as file:
        images, labels = file["images"][:, None], file["labels"].astype(np.int64)
    if train + validation > len(labels) - 10:
        raise ValueError(
            f"datasets.digits: train + validation <= {len(labels) - 10} is expected, "
            f"got {train} + {validation}"
        )
    rest = np.arange(len(labels))
    parts = []
    for size in (train, validation):
        part, rest = train_test_split(
            rest, train_size=size, stratify=labels[rest], random_state=split_seed
        )
        parts.append(part)
    splits = [Split(images[part], labels[part]) for part in (*parts, rest)]
    return Dataset("digits", 10, *splits)
