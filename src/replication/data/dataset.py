"""What every loader returns and every training loop takes: a data set with three splits."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Split:
    """Samples and their integer labels.

    inputs: images (n, C, H, W) uint8, or tables (n, F) float32 whose first columns are the codes
        of the categorical features and whose other columns are standardised numbers.
    labels: (n,) int64 in [0, classes).
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three splits of one data set.

    cardinalities: for tables, the number of codes of each categorical column, in column order;
        code 0 stands for a missing category, or one that training does not have twice.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split
    cardinalities: tuple[int, ...] = ()

    def with_validation(self, share: float, noise: float, seed: int) -> "Dataset":
        """The same with `share` of the validation split, `noise` of whose labels are wrong.

        At least one sample stays, and samples keep their order. A wrong label is any other class
        with equal probability. For one seed, smaller sets lie in larger ones, and fewer wrong
        labels among more.
        """
        random, whole = np.random.default_rng(seed), self.validation
        order, shifts = random.permutation(len(whole)), random.integers(1, self.classes, len(whole))
        size = max(1, round(share * len(whole)))
        kept, noisy = np.sort(order[:size]), order[: round(noise * size)]
        labels = whole.labels.copy()
        labels[noisy] = (labels[noisy] + shifts[noisy]) % self.classes
        return replace(self, validation=Split(whole.inputs[kept], labels[kept]))
