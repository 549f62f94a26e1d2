"""Data sets of images that diffusion models are trained on: classes with names, and domains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from replication.data.dataset import Dataset, Split
from replication.data.images import normalise
from replication.data.images.archive import classes_of, read
from replication.settings.datasets import DigitsInDomains

DOMAINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": lambda images: images,
    "inverted": lambda images: 255 - images,
}
"""Of digits."""


@dataclass(frozen=True, kw_only=True)
class DomainDataset(Dataset):
    """Classes have names, and training images are known in several domains.

    domains: the training split in each. everything: all that there is, of all splits
    and domains.
    """

    class_names: tuple[str, ...]
    domains: dict[str, Split]
    everything: Split


def load(name: str, source: DigitsInDomains, folder: Path, seed: int = 0) -> DomainDataset:
    """The 1,797 digits, or those of some classes, stratified; the rest is the test, of which the
    out-of-domain one comes first, in another domain.

    ValueError if fewer samples than train + validation + one of each class are there.
    """
    path = folder / "digits.npz"
    images, labels = read(path, "images", "labels")
    labels = classes_of(path, "labels", labels)
    kept = [*range(int(labels.max()) + 1)] if source.classes is None else source.classes
    chosen = np.flatnonzero(np.isin(labels, kept))
    images, labels = images[chosen][:, None], np.searchsorted(sorted(kept), labels[chosen])
    if source.train + source.validation > len(labels) - len(kept):
        raise ValueError(
            f"datasets.{name}: train + validation <= {len(labels) - len(kept)} is expected, "
            f"got {source.train} + {source.validation}"
        )
    rest, parts = np.arange(len(labels)), []
    for size in (source.train, source.validation):
        part, rest = train_test_split(
            rest, train_size=size, stratify=labels[rest], random_state=source.split_seed
        )
        parts.append(part)

    def split(i: np.ndarray, domain: str) -> Split:
        return Split(DOMAINS[domain](images[i]), labels[i])

    train, validation = parts
    tests = {"ood": split(rest, source.ood)} if source.ood else {}
    tests["id" if source.ood else "test"] = split(rest, source.id)
    whole = [split(np.arange(len(labels)), domain) for domain in DOMAINS]
    return DomainDataset(
        name=name,
        classes=len(kept),
        train=split(train, source.id),
        validation=split(validation, source.id),
        tests=tests,
        metric="accuracy",
        prepare=normalise,
        class_names=tuple(str(k) for k in sorted(kept)),
        domains={domain: split(train, domain) for domain in DOMAINS},
        everything=Split(
            np.concatenate([w.inputs for w in whole]), np.concatenate([w.labels for w in whole])
        ),
    )
