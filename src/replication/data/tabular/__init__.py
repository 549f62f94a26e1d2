"""Tables: the paper's Table 2, and any CSV of the user's, as three standardised splits.

One pipeline for all: read the file and give every column a type (`reading`), drop what does not
vary, split 65/15/20 stratified by class, and fit category codes, means and standard deviations on
the training split alone (`splitting`). How the paper's files are read is in `definitions`.
"""

from pathlib import Path
from typing import Any

from replication.data.dataset import Dataset
from replication.data.sources import published
from replication.data.tabular.definitions import TABLES, Table
from replication.data.tabular.reading import read
from replication.data.tabular.splitting import split
from replication.settings import datasets


def load(name: str, source: datasets.Table | datasets.CSV, folder: Path, seed: int = 0) -> Dataset:
    """The table `name` from its file in `folder`; `seed` draws the splits, as `split` says.

    ValueError that names file, column and remedy.
    """
    path, table = file_of(name, source, folder)
    return split(name, path, table, seed)


def statistics(name: str, source: datasets.Table | datasets.CSV, folder: Path) -> dict[str, Any]:
    """The row of the paper's Table 5 for a file: counts, and the percentage of positives.

    `positives`, `negatives` and `percent` are None for more than two classes.
    """
    categories, numbers, labels = read(*file_of(name, source, folder))
    classes = int(labels.max()) + 1
    positives = int(labels.sum()) if classes == 2 else None
    return {
        "classes": classes,
        "features": categories.shape[1] + numbers.shape[1],
        "categorical": categories.shape[1],
        "continuous": numbers.shape[1],
        "rows": len(labels),
        "positives": positives,
        "negatives": None if positives is None else len(labels) - positives,
        "percent": None if positives is None else 100 * positives / len(labels),
    }


def file_of(name: str, source: datasets.Table | datasets.CSV, folder: Path) -> tuple[Path, Table]:
    """A table's file, and how it is read."""
    if source.kind == "csv":
        columns = tuple(source.categorical), tuple(source.dropped)
        return folder / source.file, Table(source.target, None, source.separator, True, *columns)
    if name not in TABLES:
        raise ValueError(
            f"datasets.{name}: no table is called so; there are {', '.join(TABLES)}. For a file of "
            "yours say kind: csv"
        )
    return folder / published(name)[0].file, TABLES[name]
