"""Blood cells (Acevedo et al. 2020), and the same cells as another stain would show them."""

from pathlib import Path

import numpy as np

from replication.data.dataset import Split
from replication.data.images import medmnist, normalise
from replication.data.images.domains import DomainDataset
from replication.settings.datasets import MedMNIST, Stained

NAMES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
STAIN = np.array([[0.25, 0.75, 0.0], [0.35, 0.65, 0.0], [0.0, 0.2, 0.8]])
"""Another stain's red, green and blue of each of these: rows sum to 1, so that grey stays grey."""


def load(name: str, source: Stained, folder: Path, seed: int = 0) -> DomainDataset:
    """The three splits of `folder/name.npz`, of which the test stands twice, stained first.

    ValueError as of MedMNIST's archives, and for another number of classes.
    """
    found = medmnist.load(name, MedMNIST(kind="medmnist", own=source.own), folder)
    if found.classes != len(NAMES):
        raise ValueError(f"{folder / name}.npz: {found.classes} classes, {len(NAMES)} expected")
    test, train = found.tests["test"], found.train
    whole = _joined(train, found.validation, test)
    return DomainDataset(
        name=name,
        classes=found.classes,
        train=train,
        validation=found.validation,
        tests={"ood": stained(test), "id": test},
        metric="accuracy",
        prepare=normalise,
        class_names=NAMES,
        domains={"plain": train, "stained": stained(train)},
        everything=_joined(whole, stained(whole)),
    )


def _joined(*splits: Split) -> Split:
    return Split(*(np.concatenate([getattr(s, f) for s in splits]) for f in ("inputs", "labels")))


def stained(split: Split) -> Split:
    """Images (n, 3, H, W) uint8 in the other stain."""
    images = np.einsum("dc,nchw->ndhw", STAIN.astype(np.float32), split.inputs.astype(np.float32))
    return Split(images.round().clip(0, 255).astype(np.uint8), split.labels)
