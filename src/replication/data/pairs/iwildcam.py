"""WILDS' iWildCam v2.0 (Beery et al. 2021, Koh et al. 2021), read by the package `wilds`."""

from pathlib import Path

import numpy as np
import pandas as pd

from replication.data.dataset import Split
from replication.data.pairs import PairDataset, rgb
from replication.data.pairs.pictures import Pictures
from replication.data.sources import DataError, local
from replication.settings.datasets import IWildCam

TRAIN, CLASSES = 129_809, 182
"""Sizes of version 2.0 (Koh et al. 2021), for an estimate without it."""
SPLITS = {"train": "train", "validation": "id_val", "id": "id_test", "ood": "test"}
"""Ours, and those of WILDS."""


def load(name: str, source: IWildCam, folder: Path, seed: int = 0) -> PairDataset:
    """The official splits, with labels as `categories.csv` names them.

    Images are read from the user's folder when they are used. DataError where `wilds` is missing or
    cannot read the folder; ValueError, naming the file, for a split without images and a class
    without a name.
    """
    try:
        from wilds import get_dataset
    except ImportError as error:
        raise DataError(
            "iwildcam: needs the package wilds: pip install '.[contrastive]'"
        ) from error
    root = local(name, source).parent
    whole = get_dataset("iwildcam", root_dir=str(root), download=False)
    table = root / "iwildcam_v2.0" / "categories.csv"
    names = pd.read_csv(table).drop_duplicates("y").set_index("y")["name"].to_dict()
    if missing := [k for k in range(whole.n_classes) if k not in names]:
        raise ValueError(f"{table}: no name of class {missing[0]}")
    splits = {}
    for ours, theirs in SPLITS.items():
        part = whole.get_subset(theirs)
        if not len(part):
            raise ValueError(f"{root / 'iwildcam_v2.0' / 'metadata.csv'}: split {theirs} is empty")
        paths = [whole.data_dir / "train" / file for file in whole._input_array[part.indices]]
        splits[ours] = Split(Pictures(paths, source.side), part.y_array.numpy().astype(np.int64))
    return PairDataset(
        name=name,
        classes=whole.n_classes,
        train=splits["train"],
        validation=splits["validation"],
        tests={key: splits[key] for key in ("id", "ood")},
        metric="macro_f1",
        prepare=rgb,
        class_names=tuple(names[k] for k in range(whole.n_classes)),
        templates=tuple(source.templates),
    )


def stand_in(source: IWildCam, size: int) -> PairDataset:
    """Random images of its shape and classes, `size` in each split."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (size, 3, source.side, source.side), np.uint8)
    split = Split(pixels, random.integers(0, CLASSES, size))
    return PairDataset(
        name="iwildcam",
        classes=CLASSES,
        train=split,
        validation=split,
        tests={"id": split, "ood": split},
        metric="macro_f1",
        prepare=rgb,
        class_names=tuple(f"animal {k}" for k in range(CLASSES)),
        templates=tuple(source.templates),
    )
