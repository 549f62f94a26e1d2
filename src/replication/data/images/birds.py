"""CUB-200-2011 (Wah et al. 2011), split as ALIA does: 25 training images of a class, 5 held out."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from replication.data.dataset import Split
from replication.data.images import normalise
from replication.data.images.decoded import decoded, place
from replication.data.images.domains import DomainDataset
from replication.data.images.members import Members
from replication.data.images.pictures import decode
from replication.settings.datasets import Birds

LISTS = {"images": "images.txt", "split": "train_test_split.txt", "classes": "classes.txt"}
FORMS = {
    "images": (r"[^/]+/[^/]+", "CLASS/FILE"),
    "split": (r"[01]", "0 or 1"),
    "classes": (r".+", "a name"),
}
"""What stands in each after a number, as a pattern and in words."""
AGAIN = "take the published archive again"
PLAIN = "photo"
"""The one domain of its images."""


def load(name: str, source: Birds, folder: Path, seed: int = 0) -> DomainDataset:
    """The official test split; of the training images of each class, by file name, the last
    `held_out` for validation and the others for training.

    ValueError, naming the archive, for a list that is missing or malformed or names an image that
    is not there, and for lists that disagree.
    """
    path = folder / source.archive
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    members = Members(path)
    lists, top = _lists(members)
    _agree(lists, path)
    images = list(lists["images"].values())
    where = {f"{top}images/{image}": i for i, image in enumerate(images)}
    if missing := sorted(set(where) - set(members.names)):
        raise ValueError(f"{path}: {missing[0]} is not there, and images.txt names it")

    def pictures() -> Iterator[tuple[int, Image.Image]]:
        for member, content in members.read(set(where)):
            yield where[member], decode(content, f"{path}: {member}")

    stored = place(folder, name, path, source.side)
    pixels = decoded(stored, len(images), source.side, pictures)
    classes = [PurePosixPath(image).parts[0] for image in images]
    known = sorted(set(classes))
    labels = np.array([known.index(label) for label in classes])
    training = np.array([lists["split"][key] == source.training for key in lists["images"]])
    train, validation = [], []
    for k in range(len(known)):
        own = sorted(np.flatnonzero(training & (labels == k)), key=images.__getitem__)
        if len(own) <= source.held_out:
            raise ValueError(
                f"{path}: {len(own)} training images of {known[k]}, all held out; lower `held_out`"
            )
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


def _lists(members: Members) -> tuple[dict[str, dict[int, str]], str]:
    """Each list as number -> text, and the folder that they lie in."""
    found, top = {}, ""
    wanted = {n: key for n in members.names for key, file in LISTS.items() if _is(n, file)}
    for member, content in members.read(set(wanted)):
        found[wanted[member]] = _rows(content, f"{members.path}: {member}", *FORMS[wanted[member]])
        top = member.removesuffix(PurePosixPath(member).name)
    for key, file in LISTS.items():
        if key not in found:
            raise ValueError(f"{members.path}: no {file} in it; CUB-200-2011's archive is expected")
    return found, top


def _rows(content: bytes, where: str, form: str, words: str) -> dict[int, str]:
    """Number -> text of a list, whose fields are parted by blanks, or by a comma and a blank."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: no UTF-8 text; {AGAIN}") from error
    rows: dict[int, str] = {}
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        number, *rest = re.split(r",\s*|\s+", line.strip(), maxsplit=1)
        if not re.fullmatch(r"[0-9]{1,9}", number) or not re.fullmatch(form, "".join(rest)):
            raise ValueError(
                f"{where}: line {i}: a number and {words} are expected, got {line!r}; {AGAIN}"
            )
        if int(number) in rows:
            raise ValueError(f"{where}: line {i}: number {number} stands above it, too; {AGAIN}")
        rows[int(number)] = "".join(rest)
    if not rows:
        raise ValueError(f"{where}: empty; {AGAIN}")
    return rows


def _agree(lists: dict[str, dict[int, str]], path: Path) -> None:
    """ValueError if an image is in one list only, or twice in one, or if none is for testing."""
    images, split = lists["images"], lists["split"]
    if apart := images.keys() ^ split.keys():
        has, lacks = ("images", "split") if min(apart) in images else ("split", "images")
        raise ValueError(
            f"{path}: number {min(apart)} is in {LISTS[has]} and not in {LISTS[lacks]}; {AGAIN}"
        )
    if len({*split.values()}) == 1:
        raise ValueError(f"{path}: {LISTS['split']} parts nothing from the rest; {AGAIN}")
    image, count = Counter(images.values()).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path}: {LISTS['images']} names {image} {count} times; {AGAIN}")


def _is(member: str, file: str) -> bool:
    path = PurePosixPath(member)
    return path.name == file and len(path.parts) <= 2


def _plain(label: str) -> str:
    """A class's name without its number: 001.Black_footed_Albatross is Black footed Albatross."""
    return label.rpartition(".")[2].replace("_", " ")
