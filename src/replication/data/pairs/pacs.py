"""PACS (Li et al. 2017): seven classes in four domains, one of which is fine-tuned on."""

from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from replication.data.dataset import Split
from replication.data.images.pacs import CLASSES, DOMAINS, FILE, read
from replication.data.pairs import Captioned, PairDataset, rgb
from replication.settings.datasets import PACS

STYLES = {
    "photo": "a photo",
    "art_painting": "an art painting",
    "cartoon": "a cartoon",
    "sketch": "a sketch",
}
"""What captions call the domains."""


def load(name: str, source: PACS, folder: Path, seed: int = 0) -> PairDataset:
    """Half of every domain captioned; the rest of one trained on, a share of the others' `ood`.

    ValueError, naming the archive, for a domain or class without images, and for images of several
    sizes.
    """
    path = folder / FILE
    images, classes, domains = read(path)
    where = np.arange(len(classes))
    strata = classes * len(DOMAINS) + domains
    captioned, rest = train_test_split(
        where, train_size=source.pretraining, stratify=strata, random_state=source.split_seed
    )
    own = domains[rest] == DOMAINS.index(source.domain)
    others, rest = rest[~own], rest[own]
    _, ood = train_test_split(
        others,
        test_size=round(source.test * len(others)),
        stratify=strata[others],
        random_state=source.split_seed,
    )
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
    return [STYLES[DOMAINS[d]] for d in domains]
