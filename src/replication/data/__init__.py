"""Loaders: from a folder of files and the settings of a data set to a `Dataset`."""

from pathlib import Path

from replication.data.dataset import Dataset, Split
from replication.settings import DataSource

__all__ = ["Dataset", "Split", "load", "statistics"]


def load(name: str, source: DataSource, folder: Path | str, seed: int) -> Dataset:
    """The data set `name` from `folder/name/`, read as its settings say.

    seed: draws the splits of tables, which have no published ones; images do not depend on it.
    """
    place = Path(folder) / name
    match source.kind:
        case "digits":
            from replication.data.digits import digits

            return digits(place, source.train, source.validation, source.split_seed)
        case "medmnist":
            from replication.data.medmnist import medmnist

            return medmnist(name, place)
        case "table":
            from replication.data.sources import SOURCES
            from replication.data.tabular import load as load_table

            return load_table(name, place / SOURCES[name].file, seed)
        case "csv":
            from replication.data.tabular import load_csv

            columns = tuple(source.categorical), tuple(source.dropped)
            return load_csv(place / source.file, source.target, source.separator, *columns, seed)


def statistics(name: str, source: DataSource, folder: Path | str) -> dict | None:
    """The row of Table 5 of a table, None for images."""
    place = Path(folder) / name
    match source.kind:
        case "table":
            from replication.data.sources import SOURCES
            from replication.data.tabular import statistics as of_table

            return of_table(name, place / SOURCES[name].file)
        case "csv":
            from replication.data.tabular import csv_table
            from replication.data.tabular import statistics as of_table

            columns = tuple(source.categorical), tuple(source.dropped)
            table = csv_table(source.target, source.separator, *columns)
            return of_table(table, place / source.file)
