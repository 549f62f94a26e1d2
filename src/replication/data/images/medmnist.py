"""MedMNIST's 2D sets with one label per image (Yang et al. 2023), read from their .npz files."""

from pathlib import Path

import numpy as np

from replication.data.dataset import Dataset, Split
from replication.data.images import normalise
from replication.data.images.archive import classes_of, read
from replication.files import md5, replacing
from replication.settings.datasets import MedMNIST

SIDE = 28
PARTS = "train", "val", "test"


def load(name: str, source: MedMNIST, folder: Path, seed: int = 0) -> Dataset:
    """The three published splits of `folder/name.npz`, images (n, 1 or 3, 28, 28) uint8.

    Images are memory-mapped: the archive is unpacked once, into .unpacked/ beside `folder`.

    ValueError, naming the file, for a file that is no such archive, lacks a split, holds images of
    another size, several labels per image, or labels that are not 0 to K - 1.
    """
    path = folder / f"{name}.npz"
    labels = dict(zip(PARTS, read(path, *(f"{part}_labels" for part in PARTS)), strict=True))
    labels["train"] = classes_of(path, "train_labels", labels["train"])
    classes = int(labels["train"].max()) + 1
    for part in PARTS[1:]:
        labels[part] = classes_of(path, f"{part}_labels", labels[part], classes)
    unpacked = folder.parent / ".unpacked" / f"{name}-{md5(path)[:16]}"
    images = {part: _images(path, part, unpacked) for part in PARTS}
    for part in PARTS:
        if len(labels[part]) != len(images[part]):
            raise ValueError(
                f"{path}: {len(images[part])} {part} images but {len(labels[part])} labels"
            )
        if images[part].shape[1] != images["train"].shape[1]:
            raise ValueError(
                f"{path}: {part}_images have {images[part].shape[1]} channels and train_images "
                f"{images['train'].shape[1]}; store all as grey or all as RGB"
            )
    train, validation, test = (Split(images[part], labels[part]) for part in PARTS)
    return Dataset(name, classes, train, validation, {"test": test}, "accuracy", normalise)


def _images(path: Path, part: str, unpacked: Path) -> np.ndarray:
    array = unpacked / f"{part}.npy"
    if not array.exists():
        (images,) = read(path, f"{part}_images")
        images = _channels_first(path, part, images)
        with replacing(array) as temporary:
            np.save(temporary, images)
    return np.load(array, mmap_mode="c", allow_pickle=False)


def _channels_first(path: Path, part: str, images: np.ndarray) -> np.ndarray:
    """(n, 28, 28) or (n, 28, 28, 1 or 3) uint8 -> (n, C, 28, 28)."""
    expected = images.shape[1:3] == (SIDE, SIDE) and images.dtype == np.uint8
    if not expected or images.ndim not in (3, 4):
        raise ValueError(
            f"{path}: {part}_images has shape {images.shape} and type {images.dtype}; images of "
            f"{SIDE} x {SIDE} pixels in uint8 are expected, so take {path.name} and not one of the "
            "larger versions"
        )
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"{path}: {part}_images has {images.shape[1]} channels; 1 (grey) or 3 (RGB) are "
            "expected"
        )
    return np.ascontiguousarray(images)
