"""PACS (Li et al. 2017): seven classes in four domains, one of which is fine-tuned on."""

from pathlib import Path, PurePosixPath

import numpy as np
from sklearn.model_selection import train_test_split

from replication.data.dataset import Split
from replication.data.images.members import Members
from replication.data.images.pictures import decode
from replication.data.pairs import Captioned, PairDataset, rgb
from replication.settings.datasets import PACS

FILE = "pacs-96.tar"
CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
DOMAINS = {
    "photo": "a photo",
    "art_painting": "an art painting",
    "cartoon": "a cartoon",
    "sketch": "a sketch",
}
"""Folders, and what captions call them."""


def load(name: str, source: PACS, folder: Path, seed: int = 0) -> PairDataset:
    """Half of every domain captioned; the rest of one trained on, those of the others `ood`.

    ValueError, naming the archive, for a domain or class without images, and for images of several
    sizes.
    """
    path = folder / FILE
    images, classes, domains = _read(path)
    where = np.arange(len(classes))
    strata = classes * len(DOMAINS) + domains
    captioned, rest = train_test_split(
        where, train_size=source.pretraining, stratify=strata, random_state=source.split_seed
    )
    own = domains[rest] == [*DOMAINS].index(source.domain)
    ood, rest = rest[~own], rest[own]
    sizes = round(source.validation * len(rest)), round(source.test * len(rest))
    parts = []
    for size in sizes:
        rest, part = train_test_split(
            rest, test_size=size, stratify=classes[rest], random_state=source.split_seed
        )
        parts.append(part)
    train, (validation, test) = rest, parts
    splits = {
        key: Split(images[i], classes[i])
        for key, i in {"train": train, "validation": validation, "id": test, "ood": ood}.items()
    }
    texts = [
        [f"{style} of a {CLASSES[k]}", source.templates[0].replace("{}", CLASSES[k])]
        for k, style in zip(classes[captioned], _styles(domains[captioned]), strict=True)
    ]
    return PairDataset(
        name=name,
        classes=len(CLASSES),
        train=splits["train"],
        validation=splits["validation"],
        tests={key: splits[key] for key in ("id", "ood")},
        metric="macro_f1",
        prepare=rgb,
        class_names=CLASSES,
        templates=tuple(source.templates),
        captioned=Captioned.of(images[captioned], texts),
    )


def _styles(domains: np.ndarray) -> list[str]:
    return [[*DOMAINS.values()][d] for d in domains]


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 3, S, S) uint8, classes (n,) and domains (n,) of .../DOMAIN/CLASS/FILE.jpg."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    members = Members(path)
    named = {name: PurePosixPath(name).parts[-3:] for name in members.names}
    known = {
        name: ([*DOMAINS].index(p[0]), CLASSES.index(p[1]))
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
