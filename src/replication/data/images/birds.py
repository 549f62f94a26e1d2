"""CUB-200-2011 (Wah et al. 2011), split as ALIA does: 25 training images of a class, 5 held out."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from replication.data.dataset import Split
from replication.data.images import normalise
from replication.data.images.decoded import decoded
from replication.data.images.domains import DomainDataset
from replication.data.images.members import Members
from replication.data.images.pictures import decode
from replication.files import md5
from replication.settings.datasets import Birds

LISTS = {"images": "images.txt", "split": "train_test_split.txt", "classes": "classes.txt"}
PLAIN = "photo"
"""The one domain of its images."""


def load(name: str, source: Birds, folder: Path, seed: int = 0) -> DomainDataset:
    """The official test split; of the training images of each class, by file name, the last
    `held_out` for validation and the others for training.

    ValueError, naming the archive, for a list that is missing or names an image that is not there.
    """
    path = folder / source.archive
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    members = Members(path)
    lists, top = _lists(members)
    images = list(lists["images"].values())
    where = {f"{top}images/{image}": i for i, image in enumerate(images)}
    if missing := sorted(set(where) - set(members.names)):
        raise ValueError(f"{path}: {missing[0]} is not there, and images.txt names it")

    def pictures() -> Iterator[tuple[int, Image.Image]]:
        for member, content in members.read(set(where)):
            yield where[member], decode(content, f"{path}: {member}")

    stored = folder.parent / ".unpacked" / f"{name}-{md5(path)[:16]}-{source.side}.npy"
    pixels = decoded(stored, len(images), source.side, pictures)
    classes = [PurePosixPath(image).parts[0] for image in images]
    known = sorted(set(classes))
    labels = np.array([known.index(label) for label in classes])
    training = np.array([lists["split"][key] == source.training for key in lists["images"]])
    train, validation = [], []
    for k in range(len(known)):
        own = sorted(np.flatnonzero(training & (labels == k)), key=images.__getitem__)
        if len(own) <= source.held_out:
            raise ValueError(f"{path}: {len(own)} training images of {known[k]}, all held out")
        train += own[: -source.held_out]
        validation += own[-source.held_out :]

    def split(i) -> Split:
        return Split(pixels[np.asarray(i)], labels[np.asarray(i)])

    whole = Split(pixels, labels)
    return DomainDataset(
        name=name,
        classes=len(known),
        train=split(train),
        validation=split(validation),
        tests={"test": split(np.flatnonzero(~training))},
        metric="accuracy",
        prepare=normalise,
        class_names=tuple(_plain(label) for label in known),
        domains={PLAIN: split(train)},
        everything=whole,
    )


def _lists(members: Members) -> tuple[dict[str, dict[str, str]], str]:
    """Each list as number -> text, and the folder that they lie in. Fields are parted by blanks, or
    by a comma and a blank."""
    found, top = {}, ""
    wanted = {n: key for n in members.names for key, file in LISTS.items() if _is(n, file)}
    for member, content in members.read(set(wanted)):
        rows = (line.replace(",", " ").split(None, 1) for line in content.decode().splitlines())
        found[wanted[member]] = {row[0]: row[1].strip() for row in rows if len(row) == 2}
        top = member.removesuffix(PurePosixPath(member).name)
    for key, file in LISTS.items():
        if key not in found:
            raise ValueError(f"{members.path}: no {file} in it; CUB-200-2011's archive is expected")
    return found, top


def _is(member: str, file: str) -> bool:
    path = PurePosixPath(member)
    return path.name == file and len(path.parts) <= 2


def _plain(label: str) -> str:
    """A class's name without its number: 001.Black_footed_Albatross is Black footed Albatross."""
    return label.rpartition(".")[2].replace("_", " ")
