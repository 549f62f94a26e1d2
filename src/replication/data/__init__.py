"""Loaders: from a folder of files and the settings of a data set to a `Dataset`."""

from pathlib import Path

from replication.data.dataset import Dataset, Split
from replication.settings import DataSource

__all__ = ["Dataset", "Split", "load"]


def load(name: str, source: DataSource, folder: Path | str) -> Dataset:
    """The data set `name` from `folder/name/`, read as its settings say."""
    place = Path(folder) / name
    match source.kind:
        case "digits":
            from replication.data.digits import digits

            return digits(place, source.train, source.validation, source.split_seed)
        case "medmnist":
            from replication.data.medmnist import medmnist

            return medmnist(name, place)
