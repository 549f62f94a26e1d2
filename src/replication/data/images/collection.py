"""Which images are in folders, archives and tables, and of which classes."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image

from replication.data.images.members import Members
from replication.data.images.pictures import SUFFIXES, decode
from replication.data.sources import DataError

GIVEN = {
    **{name: "train" for name in ("train", "training")},
    **{name: "val" for name in ("val", "valid", "validation")},
    **{name: "test" for name in ("test", "testing")},
}
DOCUMENTS = {".csv", ".html", ".json", ".md", ".pdf", ".tab", ".tsv", ".txt", ".xml"}
DOCUMENTS_WITHOUT_SUFFIX = {"licence", "license", "readme"}
RECORD = 1 + 3 * 32 * 32
BINARY = re.compile(r"(data_batch_\d+|test_batch)\.bin")


@dataclass(frozen=True)
class Item:
    """An image: its path below all sources, its class, and its split and group where it has one."""

    path: str
    label: str
    given: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Collection:
    """images: from wanted paths to (path, picture). classes: in their order."""

    items: list[Item]
    classes: list[str]
    images: Callable[[set[str]], Iterator[tuple[str, Image.Image]]]


@dataclass(frozen=True)
class Table:
    """A file of labels, and its columns."""

    path: Path
    image: str
    label: str
    group: str | None = None


def collect(sources: list[Path], table: Table | None) -> Collection:
    """What is in the sources. With several, each one's name stands above its files."""
    archives = [Members(path) for path in sources]
    tops = [f"{_stem(path)}/" if len(sources) > 1 else "" for path in sources]
    where: dict[str, tuple[Members, str]] = {}
    for top, members in zip(tops, archives, strict=True):
        for member in members.names:
            if (path := top + member) in where:
                raise DataError(
                    f"{members.path}: {path} is in {where[path][0].path} as well. Name one source, "
                    "or rename it"
                )
            where[path] = members, member
    pictures = [path for path in sorted(where) if path.lower().endswith(SUFFIXES)]
    binaries = [path for path in sorted(where) if BINARY.fullmatch(PurePosixPath(path).name)]
    for path, (members, member) in where.items():
        if path not in binaries and not path.lower().endswith(SUFFIXES) and not _document(path):
            python = "; of CIFAR-10 take the binary version" if "data_batch" in path else ""
            raise DataError(
                f"{members.path}: {member} is no picture that can be read ({', '.join(SUFFIXES)})"
                f"{python}. Convert it, or remove it"
            )
    if binaries and (pictures or table):
        beside = f"--labels {table.path}" if table else pictures[0]
        raise DataError(
            f"{sources[0]}: {binaries[0]} has images and labels, and there is {beside} as well. "
            "Leave one out"
        )
    if binaries:
        return _cifar(archives, tops)
    if not pictures:
        raise DataError(
            f"{', '.join(map(str, sources))}: no picture in it ({', '.join(SUFFIXES)}). Name a "
            "folder or an archive that has some"
        )
    items = _listed(pictures, table) if table else [_foldered(path, where) for path in pictures]
    classes = sorted({item.label for item in items}, key=order)
    return Collection(items, classes, _pictures(archives, tops))


def _stem(path: Path) -> str:
    return re.sub(r"\.(zip|tar|tgz|tar\.\w+)$", "", os.path.basename(os.path.abspath(path)))


def _document(path: str) -> bool:
    name = PurePosixPath(path.lower())
    return name.name in DOCUMENTS_WITHOUT_SUFFIX or name.suffix in DOCUMENTS


def order(name: str) -> tuple:
    """Numbers by value, before words by their letters."""
    return (0, int(name), name) if re.fullmatch(r"[0-9]+", name) else (1, 0, name)


def _foldered(path: str, where: dict[str, tuple[Members, str]]) -> Item:
    *above, label = PurePosixPath(path).parent.parts or ("",)
    if not label or label.lower() in GIVEN:
        fault = f"in {label}, the name of a split, and " if label else ""
        members, member = where[path]
        raise DataError(
            f"{members.path}: {member} is {fault}in no folder of a class. Put it into one, or name "
            "a table with --labels"
        )
    return Item(path, label, _split_of(above))


def _split_of(folders: list[str] | tuple[str, ...]) -> str | None:
    return next((GIVEN[f.lower()] for f in folders if f.lower() in GIVEN), None)


def _listed(pictures: list[str], table: Table) -> list[Item]:
    """The pictures that a table names, by path or name, with or without suffix."""
    columns = {"image": table.image, "label": table.label, "group": table.group}
    columns = {key: column for key, column in columns.items() if column is not None}
    try:
        with table.path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = next(s for s in ("\t", ";", ",", "\n") if s in header + "\n")
        frame = pd.read_csv(
            table.path,
            sep="," if separator == "\n" else separator,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
        if not isinstance(frame.index, pd.RangeIndex):
            raise ValueError("its rows have more fields than its header")
    except Exception as error:  # a file that is no table raises whatever its bytes lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{table.path}: not a readable table ({reason}). Name a CSV with a header"
        ) from error
    for key, column in columns.items():
        if column not in frame:
            raise DataError(
                f"{table.path}: no column {column!r}. --{key} is one of {', '.join(frame.columns)}"
            )
        frame[column] = frame[column].fillna("").str.strip()
        if (empty := np.flatnonzero(frame[column] == "")).size:
            raise DataError(
                f"{table.path}: row {empty[0] + 1} has nothing in {column!r}. Complete or remove it"
            )
    whole, known = set(pictures), {}
    for path in pictures:
        parts = PurePosixPath(path).parts
        for i in range(len(parts)):
            tail = PurePosixPath(*parts[i:])
            for key in {tail.as_posix(), tail.with_suffix("").as_posix()}:
                known.setdefault(key, set()).add(path)
    items: dict[str, Item] = {}
    for row, image in enumerate(frame[table.image], 1):
        found = [image] if image in whole else sorted(known.get(image, ()))
        if len(found) != 1:
            fault = f"are two pictures: {found[0]}, {found[1]}" if found else "is no picture there"
            remedy = "Name one with its folder" if found else "Name every source, or remove it"
            raise DataError(f"{table.path}: row {row}: {image} {fault}. {remedy}")
        if found[0] in items:
            raise DataError(f"{table.path}: row {row}: {image} a second time. Remove one")
        values = frame.iloc[row - 1]
        items[found[0]] = Item(
            found[0],
            values[table.label],
            _split_of(PurePosixPath(found[0]).parent.parts),
            values[table.group] if table.group else None,
        )
    return [items[path] for path in sorted(items)]


def _pictures(archives: list[Members], tops: list[str]):
    def images(wanted: set[str]) -> Iterator[tuple[str, Image.Image]]:
        for members, top in zip(archives, tops, strict=True):
            mine = {path.removeprefix(top) for path in wanted if path.startswith(top)}
            for member, content in members.read(mine):
                yield top + member, decode(content, f"{members.path}: {member}")

    return images


def _cifar(archives: list[Members], tops: list[str]) -> Collection:
    """CIFAR-10 (Krizhevsky 2009): records of a label and 32 x 32 pixels, red, green, blue."""
    items, pixels, names = [], {}, [str(label) for label in range(10)]
    for members, top in zip(archives, tops, strict=True):
        files = {n for n in members.names if BINARY.fullmatch(PurePosixPath(n).name)}
        texts = {n for n in members.names if PurePosixPath(n).name == "batches.meta.txt"}
        for member, content in members.read(files | texts):
            if member in texts:
                lines = content.decode("utf-8", "replace").split()
                names = lines if len(set(lines)) == len(lines) == 10 else names
                continue
            records = np.frombuffer(content, np.uint8)
            whole = records.size and records.size % RECORD == 0
            if not whole or records[::RECORD].max() > 9:
                raise DataError(
                    f"{members.path}: {member} is not made of records of CIFAR-10, {RECORD:,} "
                    "bytes with a label from 0 to 9 each. Download the binary version again"
                )
            given = "test" if PurePosixPath(member).name.startswith("test") else "train"
            for i, record in enumerate(records.reshape(-1, RECORD)):
                path = f"{top}{member}/{i:05}"
                items.append(Item(path, str(record[0]), given))
                pixels[path] = record[1:].reshape(3, 32, 32)
    items = [
        Item(i.path, names[int(i.label)], i.given) for i in sorted(items, key=attrgetter("path"))
    ]

    def images(wanted: set[str]) -> Iterator[tuple[str, Image.Image]]:
        for path in sorted(wanted):
            yield path, Image.fromarray(np.ascontiguousarray(pixels[path].transpose(1, 2, 0)))

    return Collection(items, names, images)
