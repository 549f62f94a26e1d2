"""MedMNIST's 2D sets with one label per image (Yang et al. 2023), read from their .npz files."""

from pathlib import Path

import numpy as np

from replication.data.dataset import Dataset, Split
from replication.data.images import normalise
from replication.data.images.archive import classes_of, read
from replication.files import md5, replacing
from replication.settings.datasets import MedMNIST

SIDE, LEAST = 28, 8
PARTS = "train", "val", "test"


def load(name: str, source: MedMNIST, folder: Path, seed: int = 0) -> Dataset:
    """The three splits of `folder/name.npz`, images (n, 1 or 3, S, S) uint8.

    S is 28, and in a file of the user's any side from 8 that all splits have. Images are
    memory-mapped: the archive is unpacked once, into .unpacked/ beside `folder`.

    ValueError, naming the file, for a file that is no such archive, lacks a split, holds images of
    another size, several labels per image, or labels that are not 0 to K - 1.
    """
    path = folder / f"{name}.npz"
    labels = dict(zip(PARTS, read(path, *(f"{part}_labels" for part in PARTS)), strict=True))
    labels["train"] = classes_of(path, "train_labels", labels["train"])
    classes = int(labels["train"].max()) + 1
    for part in PARTS[1:]:
        labels[part] = classes_of(path, f"{part}_labels", labels[part], classes)
    version = f"{name}-{md5(path)[:16]}" + ("-own" if source.own else "")
    unpacked = folder.parent / ".unpacked" / version
    images = {part: _images(path, part, unpacked, source.own) for part in PARTS}
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
        if images[part].shape[2] != images["train"].shape[2]:
            raise ValueError(
                f"{path}: {part}_images have a side of {images[part].shape[2]} pixels and "
                f"train_images of {images['train'].shape[2]}; store all at one size"
            )
    train, validation, test = (Split(images[part], labels[part]) for part in PARTS)
    return Dataset(name, classes, train, validation, {"test": test}, "accuracy", normalise)


def _images(path: Path, part: str, unpacked: Path, own: bool) -> np.ndarray:
    array = unpacked / f"{part}.npy"
    if not array.exists():
        (images,) = read(path, f"{part}_images")
        images = _channels_first(path, part, images, own)
        with replacing(array) as temporary:
            np.save(temporary, images)
    return np.load(array, mmap_mode="c", allow_pickle=False)


def _channels_first(path: Path, part: str, images: np.ndarray, own: bool) -> np.ndarray:
    """(n, S, S) or (n, S, S, 1 or 3) uint8 -> (n, C, S, S)."""
    sides = {*images.shape[1:3]}
    square = len(sides) == 1 and (min(sides) >= LEAST if own else sides == {SIDE})
    if not square or images.dtype != np.uint8 or images.ndim not in (3, 4):
        expected = (
            f"square images of at least {LEAST} x {LEAST} pixels in uint8 are expected, as "
            "`python -m replication.data.images.build` makes them of images of any size"
            if own
            else f"images of {SIDE} x {SIDE} pixels in uint8 are expected, so take {path.name} and "
            "not one of the larger versions"
        )
        raise ValueError(
            f"{path}: {part}_images has shape {images.shape} and type {images.dtype}; {expected}"
        )
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"{path}: {part}_images has {images.shape[1]} channels; 1 (grey) or 3 (RGB) are "
            "expected"
        )
    return np.ascontiguousarray(images)
