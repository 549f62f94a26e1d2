"""MedMNIST's 2D sets with one label per image (Yang et al. 2023), read from their .npz files."""

import zipfile
from pathlib import Path

import numpy as np

from replication.data.dataset import Dataset, Split
from replication.stages.files import md5, replacing

SIDE = 28


def medmnist(name: str, folder: Path) -> Dataset:
    """The three published splits of `folder/name.npz`, images (n, C, 28, 28) uint8.

    Images are memory-mapped: the archive is unpacked once, into .unpacked/ beside `folder`.

    ValueError, naming the file, for a file that is no such archive, lacks a split, holds images of
    another size or several labels per image.
    """
    path = folder / f"{name}.npz"
    unpacked = folder.parent / ".unpacked" / f"{name}-{md5(path)[:16]}"
    try:
        with np.load(path, allow_pickle=False) as file:
            splits = [_split(path, file, part, unpacked) for part in ("train", "val", "test")]
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(
            f"{path}: not a readable .npz file ({error}); delete it and download it again"
        ) from error
    classes = 1 + max(int(split.labels.max()) for split in splits)
    return Dataset(name, classes, *splits)


def _split(path: Path, file, part: str, unpacked: Path) -> Split:
    keys = f"{part}_images", f"{part}_labels"
    if missing := [key for key in keys if key not in file]:
        raise ValueError(f"{path}: {missing[0]} is missing; delete it and download it again")
    labels, array = file[f"{part}_labels"], unpacked / f"{part}.npy"
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise ValueError(
            f"{path}: {labels.shape[1]} labels per image; sets with one are expected, and "
            f"{path.stem} is multi-label"
        )
    if not array.exists():
        images = _channels_first(path, part, file[f"{part}_images"])
        with replacing(array) as temporary:
            np.save(temporary, images)
    images = np.load(array, mmap_mode="c", allow_pickle=False)
    if not len(labels) or len(labels) != len(images):
        raise ValueError(f"{path}: {len(images)} {part} images but {len(labels)} labels")
    return Split(images, labels.reshape(-1).astype(np.int64))


def _channels_first(path: Path, part: str, images: np.ndarray) -> np.ndarray:
    """(n, 28, 28) or (n, 28, 28, C) uint8 -> (n, C, 28, 28)."""
    expected = images.shape[1:3] == (SIDE, SIDE) and images.dtype == np.uint8
    if not expected or images.ndim not in (3, 4):
        raise ValueError(
            f"{path}: {part}_images has shape {images.shape} and type {images.dtype}; images of "
            f"{SIDE} x {SIDE} pixels in uint8 are expected, so take {path.name} and not one of the "
            "larger versions"
        )
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images)
