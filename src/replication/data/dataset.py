"""What every loader returns and every training loop takes: a data set with three splits."""

from dataclasses import dataclass

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
        code 0 stands for a category that the training split does not have.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split
    cardinalities: tuple[int, ...] = ()
