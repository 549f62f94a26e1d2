"""What every loader returns and every training loop takes: a data set that owns its splits."""

from collections.abc import Callable
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
    """Training, validation and as many test splits as the data set has, by name.

    metric: the primary one. prepare: from a tensor of inputs to what models take.
    cardinalities: for tables, the number of codes of each categorical column, in column order;
        code 0 stands for a missing category, or one that training does not have twice.
    split_per_seed: every seed draws its own splits.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    tests: dict[str, Split]
    metric: str
    prepare: Callable
    cardinalities: tuple[int, ...] = ()
    split_per_seed: bool = False

    def with_validation(self, share: float, noise: float, seed: int) -> "Dataset":
        """The same with `share` of the validation split, `noise` of whose labels are wrong.

        Samples keep their order. A wrong label is any other class with equal probability. For one
        seed, smaller sets lie in larger ones, and fewer wrong labels among more.
        """
        random, whole = np.random.default_rng(seed), self.validation
        order, shifts = random.permutation(len(whole)), random.integers(1, self.classes, len(whole))
        kept = part(len(whole), share, seed)
        noisy, labels = order[: round(noise * len(kept))], whole.labels.copy()
        labels[noisy] = (labels[noisy] + shifts[noisy]) % self.classes
        return replace(self, validation=Split(whole.inputs[kept], labels[kept]))


def part(n: int, share: float, seed: int) -> np.ndarray:
    """Which of n samples a seed draws: (m,) in order, m at least 1."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: max(1, round(share * n))])
