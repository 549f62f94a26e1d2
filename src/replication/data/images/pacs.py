"""PACS (Li et al. 2017): seven classes in four domains, one of which is trained on."""

from pathlib import Path, PurePosixPath

import numpy as np
from sklearn.model_selection import train_test_split

from replication.data.dataset import Split
from replication.data.images import normalise
from replication.data.images.domains import DomainDataset
from replication.data.images.members import Members
from replication.data.images.pictures import decode
from replication.settings.datasets import PACSDomains

FILE = "pacs-96.tar"
CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
DOMAINS = ("photo", "art_painting", "cartoon", "sketch")


def load(name: str, source: PACSDomains, folder: Path, seed: int = 0) -> DomainDataset:
    """One domain split by class; all images of the others are the out-of-domain test.

    ValueError as `read`.
    """
    images, classes, domains = read(folder / FILE)
    own = domains == DOMAINS.index(source.domain)
    rest, parts = np.flatnonzero(own), []
    for size in (source.validation, source.test):
        rest, part = train_test_split(
            rest,
            test_size=round(size * own.sum()),
            stratify=classes[rest],
            random_state=source.split_seed,
        )
        parts.append(part)
    train, validation, test, ood = (
        Split(images[i], classes[i]) for i in (rest, *parts, np.flatnonzero(~own))
    )
    return DomainDataset(
        name=name,
        classes=len(CLASSES),
        train=train,
        validation=validation,
        tests={"ood": ood, "id": test},
        metric="accuracy",
        prepare=normalise,
        class_names=CLASSES,
        domains={source.domain: train},
        everything=Split(images, classes),
    )


def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 3, S, S) uint8, classes (n,) and domains (n,) of .../DOMAIN/CLASS/FILE.jpg."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    members = Members(path)
    named = {name: PurePosixPath(name).parts[-3:] for name in members.names}
    known = {
        name: (DOMAINS.index(p[0]), CLASSES.index(p[1]))
        for name, p in named.items()
        if len(p) == 3 and p[0] in DOMAINS and p[1] in CLASSES
    }
    found = {*known.values()}
    for d, domain in enumerate(DOMAINS):
        for k, label in enumerate(CLASSES):
            if (d, k) not in found:
                raise ValueError(
                    f"{path}: no image in {domain}/{label}/; pacs/DOMAIN/CLASS/*.jpg is expected"
                )
    rows = [
        (name, decode(content, f"{path}: {name}").convert("RGB"))
        for name, content in members.read(known)
    ]
    rows.sort(key=lambda row: row[0])
    if len(sizes := {picture.size for _, picture in rows}) > 1:
        raise ValueError(f"{path}: images of one size are expected, got {sorted(sizes)[:4]}")
    images = np.stack([np.asarray(picture) for _, picture in rows]).transpose(0, 3, 1, 2)
    domains, classes = np.array([known[name] for name, _ in rows]).T
    return np.ascontiguousarray(images), classes, domains
