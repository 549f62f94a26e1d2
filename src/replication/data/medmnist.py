"""MedMNIST's 2D sets with one label per image (Yang et al. 2023), read from their .npz files."""

import zipfile
from pathlib import Path

import numpy as np

from replication.data.dataset import Dataset, Split

SIDE = 28


def medmnist(name: str, folder: Path) -> Dataset:
    """The three published splits of `folder/name.npz`, images (n, C, 28, 28) uint8.

    ValueError, naming the file, for a file that is no such archive, lacks a split, holds images of
    another size or several labels per image.
    """
    path = folder / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            splits = [_split(path, file, part) for part in ("train", "val", "test")]
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(
            f"{path}: not a readable .npz file ({error}); delete it and download it again"
        ) from error
    classes = 1 + max(int(split.labels.max()) for split in splits)
    return Dataset(name, classes, *splits)


def _split(path: Path, file, part: str) -> Split:
    keys = f"{part}_images", f"{part}_labels"
    if missing := [key for key in keys if key not in file]:
        raise ValueError(f"{path}: {missing[0]} is missing; delete it and download it again")
    images, labels = (file[key] for key in keys)
    if images.shape[1:3] != (SIDE, SIDE) or images.ndim not in (3, 4):
        raise ValueError(
            f"{path}: {part}_images has shape {images.shape}; images of {SIDE} x {SIDE} pixels are "
            f"expected, so take {path.name} and not one of the larger versions"
        )
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise ValueError(f"{path}: {labels.shape[1]} labels per image; one is expected")
    if not len(labels) or len(labels) != len(images):
        raise ValueError(f"{path}: {len(images)} {part} images but {len(labels)} labels")
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return Split(np.ascontiguousarray(images), labels.reshape(-1).astype(np.int64))
