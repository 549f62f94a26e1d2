"""ALIA's subset of iWildCam (Dunlap et al. 2023): seven classes, tested at other places."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image

from replication.data.dataset import Split
from replication.data.images import normalise
from replication.data.images.decoded import decoded, place
from replication.data.images.domains import DomainDataset
from replication.data.images.pictures import decode
from replication.data.sources import wilds
from replication.settings.datasets import WildSubset

LISTS = {
    "train": "train_subset.csv",
    "validation": "val_subset.csv",
    "ood": "test_subset.csv",
    "extra": "train_extra_subset.csv",
}
CLASSES = {
    0: "background",
    24: "cattle",
    32: "elephants",
    36: "impalas",
    48: "zebras",
    49: "giraffes",
    52: "dik-diks",
}
"""WILDS' numbers of them."""
PLAIN = "photo"
AGAIN = "delete the list, and `dvc repro` downloads it again"


def load(name: str, source: WildSubset, folder: Path, seed: int = 0) -> DomainDataset:
    """The published lists, with images from the user's folder of WILDS.

    The lists have no test in the distribution of training; `extra` are ALIA's further training
    images, most of them from other places. DataError without the folder; ValueError, naming list
    and row, for a malformed list and a class that is not one of CLASSES; FileNotFoundError for an
    image that is missing.
    """
    root = wilds(name) / "train"
    known, splits = [*CLASSES], {}
    for split, file in LISTS.items():
        path = folder / file
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file")
        rows = _listed(path)
        classes = pd.to_numeric(rows["y"], errors="coerce")
        if (wrong := np.flatnonzero(~classes.isin(known))).size:
            raise ValueError(
                f"{path}: row {wrong[0] + 1}: class {rows['y'][wrong[0]]} is none of "
                f"{known}; {AGAIN}"
            )
        stored = place(folder, name, path, source.side)

        def pictures(files=tuple(rows["filename"]), path=path) -> Iterator[tuple[int, Image.Image]]:
            for number, file in enumerate(files):
                if not (root / file).is_file():
                    raise FileNotFoundError(f"{root / file}: no such file; {path.name} names it")
                yield number, decode((root / file).read_bytes(), str(root / file))

        pixels = decoded(stored, len(rows), source.side, pictures)
        splits[split] = Split(pixels, np.array([known.index(y) for y in classes]))
    whole = [splits[split] for split in LISTS]
    return DomainDataset(
        name=name,
        classes=len(known),
        train=splits["train"],
        validation=splits["validation"],
        tests={key: splits[key] for key in ("ood", "extra")},
        metric="accuracy",
        prepare=normalise,
        class_names=tuple(CLASSES.values()),
        domains={PLAIN: splits["train"]},
        everything=Split(
            np.concatenate([w.inputs for w in whole]), np.concatenate([w.labels for w in whole])
        ),
    )


def _listed(path: Path) -> pd.DataFrame:
    """The rows of a list, each with `y` and a `filename`."""
    try:
        rows = pd.read_csv(path, dtype={"y": str, "filename": str})
    except ValueError as error:
        raise ValueError(f"{path}: no CSV ({str(error).strip()}); {AGAIN}") from error
    for column in ("y", "filename"):
        if column not in rows:
            raise ValueError(f"{path}: no column {column!r}; {AGAIN}")
    if rows.empty:
        raise ValueError(f"{path}: no row; {AGAIN}")
    if (blank := np.flatnonzero(rows["filename"].isna())).size:
        raise ValueError(f"{path}: row {blank[0] + 1}: no filename; {AGAIN}")
    for number, file in enumerate(map(PurePosixPath, rows["filename"]), 1):
        if file.is_absolute() or ".." in file.parts:
            raise ValueError(f"{path}: row {number}: {file} leads out of the folder; {AGAIN}")
    return rows.reset_index(drop=True)
