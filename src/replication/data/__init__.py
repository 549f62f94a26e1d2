"""Data sets: where their files come from, and loaders from files to a `Dataset`, by kind.

A loader is imported when it is called, so that asking for an origin costs nothing.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from replication.data.dataset import Dataset, Split
from replication.data.download import obtain
from replication.data.sources import OWN, SETS, DataError, origin
from replication.settings.datasets import AnyDataSource

__all__ = ["SETS", "DataError", "Dataset", "Split", "load", "obtain", "origin", "statistics"]

LOADERS = {
    "digits": "images.digits",
    "medmnist": "images.medmnist",
    "birds": "images.birds",
    "pacs-domains": "images.pacs",
    "stained": "images.stained",
    "wild-subset": "images.wild",
    "digits-in-domains": "images.domains",
    "table": "tabular",
    "csv": "tabular",
    "styled-digits": "pairs.digits",
    "pacs": "pairs.pacs",
    "iwildcam": "pairs.iwildcam",
}


def load(name: str, source: AnyDataSource, folder: Path | str, seed: int) -> Dataset:
    """The data set `name` from `folder/name/`, read as its settings say.

    seed: draws the splits of data sets that have no published ones; others do not depend on it.
    ValueError or FileNotFoundError naming file and remedy; of the user's own, the file in data/own.
    """
    loader = import_module(f"{__name__}.{LOADERS[source.kind]}")
    try:
        return loader.load(name, source, Path(folder) / name, seed)
    except ValueError as error:
        if not source.own:
            raise
        copy, theirs = (f"{where / name}{os.sep}" for where in (Path(folder), OWN))
        raise ValueError(str(error).replace(copy, theirs)) from error


def statistics(name: str, source: AnyDataSource, folder: Path | str) -> dict[str, Any] | None:
    """The row of Table 5 of a table in `folder/name/`, None for other data."""
    if source.takes != "tabular":
        return None
    from replication.data import tabular

    return tabular.statistics(name, source, Path(folder) / name)
