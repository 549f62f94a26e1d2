"""Splits of a table, standardised by its training rows."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from replication.data.dataset import Dataset, Split
from replication.data.tabular.definitions import Table
from replication.data.tabular.reading import read

VALIDATION_SHARE, TEST_SHARE = 0.15, 0.20  # SAINT's proportions (arXiv 2106.01342)


def rows(inputs):
    """A tensor (B, F) as models take it, float32."""
    return inputs.float()


def split(name: str, path: Path, table: Table, seed: int) -> Dataset:
    """A file as three splits, 65/15/20, stratified by class; `seed` draws them.

    Inputs are (n, F) float32: category codes first, then numbers in units of their training
    standard deviation. Code 0 is a missing category or one the training split does not have twice:
    those that it has once are as unknown as a new row's, and teach what to make of them. A missing
    number becomes the training mean; a number that does not vary in the training split is 0.
    ValueError that names file, column and remedy.
    """
    categories, numbers, labels = read(path, table)
    try:
        rest, test = train_test_split(
            np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=seed
        )
        train, validation = train_test_split(
            rest,
            test_size=VALIDATION_SHARE / (1 - TEST_SHARE),
            stratify=labels[rest],
            random_state=seed,
        )
    except ValueError as error:
        raise ValueError(
            f"{path}: too few rows of some class of column {table.target!r} to have it in each of "
            f"three splits ({error}); merge rare classes, or remove their rows"
        ) from error
    codes, cardinalities = _encoded(categories, train)
    scaled = _standardised(numbers, train)
    with np.errstate(over="ignore"):
        inputs = np.column_stack([*codes, scaled]).astype(np.float32)
    if not np.isfinite(inputs).all():
        column = numbers.columns[~np.isfinite(inputs[:, len(codes) :]).all(0)][0]
        raise ValueError(
            f"{path}: column {column!r} has values that no float32 can hold in units of their "
            "standard deviation over the training rows; clip them, or take their logarithm"
        )
    first, second, third = (Split(inputs[part], labels[part]) for part in (train, validation, test))
    classes = int(labels.max()) + 1
    metric = "auroc" if classes == 2 else "accuracy"
    return Dataset(name, classes, first, second, {"test": third}, metric, rows, cardinalities, True)


def _encoded(categories: pd.DataFrame, train: np.ndarray) -> tuple[list, tuple[int, ...]]:
    """Codes (n,) of each column and how many each has, fitted on the rows `train`."""
    codes, cardinalities = [], []
    for _, column in categories.items():
        counts = column.iloc[train].value_counts()
        known = sorted(counts.index[counts > 1])
        codes.append(pd.Index(known, dtype=object).get_indexer(column) + 1)
        cardinalities.append(len(known) + 1)
    return codes, tuple(cardinalities)


def _standardised(numbers: pd.DataFrame, train: np.ndarray) -> pd.DataFrame:
    """Numbers (n, N) float64 in units of their standard deviation over the rows `train`."""
    mean = numbers.iloc[train].mean().fillna(0)
    filled = numbers.fillna(mean)
    fitted = filled.iloc[train]
    deviation = fitted.std(ddof=0).where(fitted.max() > fitted.min(), np.inf)
    return (filled - mean) / deviation
