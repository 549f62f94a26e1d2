"""`python -m replication.data.images.build SOURCE [SOURCE ...] NAME`: images of one's own as a set.

Writes data/own/NAME/NAME.npz in MedMNIST's layout, which `{kind: medmnist, own: true}` reads. A
SOURCE is a folder or a .zip or .tar(.gz) archive, with a folder for each class, with pictures that
--labels has in a table, or with CIFAR-10's binary files. Folders named train, val and test above
those of the classes give the splits; without val, it is drawn from train, and without any, all are
drawn. The same pictures and options give the same bytes.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from replication.data.images.collection import Collection, Item, Table, collect, order
from replication.data.images.medmnist import LEAST, PARTS
from replication.data.images.pictures import fit
from replication.data.images.shares import draw
from replication.data.sources import OWN, SOURCES, DataError
from replication.files import md5, replacing
from replication.settings.fields import Name

TENTHS = {"train": 7, "val": 1, "test": 2}


def build(
    sources: list[Path],
    name: str,
    table: Table | None = None,
    size: int = 28,
    centre: int | None = None,
    sizes: tuple[int, int, int] | None = None,
    seed: int = 0,
) -> Path:
    """Write the file of the set `name`, and print its classes.

    sizes: images of training, validation and test; without, 70, 10 and 20 % of all. DataError, a
    paragraph that says what to do, for whatever is wrong with the sources.
    """
    path = _target(name)
    collection = collect(sources, table)
    parts = split(collection, sizes, seed)
    arrays = _arrays(collection, parts, size, centre, name)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    print(describe(path, collection, parts, arrays["train_images"]))
    return path


def split(
    collection: Collection, sizes: tuple[int, int, int] | None, seed: int
) -> dict[str, list[Item]]:
    """The images of train, val and test, in random order; what is left over is in none."""
    items, classes = collection.items, collection.classes
    if not 2 <= len(classes) <= 256:
        raise DataError(
            f"{len(classes)} classes ({', '.join(classes[:5])}); 2 to 256 are expected. Name the "
            "folder above those of the classes, or the column that has them"
        )
    given, random = _given(items), np.random.default_rng(seed)
    chosen: dict[str, list[Item]] = {}
    for drawn_from, parts in given.items():
        pool = [item for item in items if drawn_from in (None, item.given)]
        wanted = _sizes(pool, parts, sizes, drawn_from)
        labels = np.array([classes.index(item.label) for item in pool])
        groups = None
        if pool[0].group is not None:
            groups = np.array([item.group for item in pool])
        drawn = draw(labels, groups, [*wanted, len(pool) - sum(wanted)], random)[: len(parts)]
        if sizes and [len(part) for part in drawn] != wanted:
            raise DataError(
                f"--sizes: whole groups do not make {wanted}; nearest were "
                f"{[len(part) for part in drawn]}. Take these, or another --seed"
            )
        for part, indices in zip(parts, drawn, strict=True):
            chosen[part] = [pool[i] for i in indices]
    _check(chosen, classes)
    return chosen


def describe(
    path: Path, collection: Collection, parts: dict[str, list[Item]], images: np.ndarray
) -> str:
    """The file, and how many images of each class each split has."""
    counts = {
        part: [sum(item.label == name for item in parts[part]) for name in collection.classes]
        for part in PARTS
    }
    frame = pd.DataFrame({"class": collection.classes, **counts})
    total = sum(map(len, parts.values()))
    left = len(collection.items) - total
    side, colour = images.shape[1], "RGB" if images.ndim == 4 else "grey"
    sums = ", ".join(f"{len(parts[part]):,} {part}" for part in PARTS)
    return (
        f"{frame.to_string()}\n{total:,} images ({sums}), {side} x {side} pixels, {colour}"
        + (f"; {left:,} left out" if left else "")
        + f"\n{path} (md5 {md5(path)})\nparams.yaml, under datasets: "
        f"{path.stem}: {{kind: medmnist, own: true}}"
    )


def _target(name: str) -> Path:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise DataError(
            f"{name!r} is no name of a data set: up to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter, a digit or '_'"
        ) from error
    if name in SOURCES:
        raise DataError(
            f"{name} is the name of a published set, whose rows this file must not stand in. Take "
            f"another, such as {name}-rebuilt"
        )
    return OWN / name / f"{name}.npz"


def _given(items: list[Item]) -> dict[str | None, tuple[str, ...]]:
    """The splits that are drawn from the images of each given one; from all, where none is."""
    found = {item.given for item in items}
    if len(found) == 1:
        return {None: PARTS}
    if found == {"train", "test"}:
        return {"train": ("train", "val"), "test": ("test",)}
    if found == {*PARTS}:
        return {part: (part,) for part in PARTS}
    if None in found:
        outside = next(item.path for item in items if item.given is None)
        inside = next(item.path for item in items if item.given is not None)
        raise DataError(
            f"{inside} is in a folder of a split and {outside} is in none. Give every picture one, "
            "or rename the folder"
        )
    raise DataError(
        f"{' and '.join(sorted(found))} without {' and '.join(sorted({'train', 'test'} - found))}. "
        "Folders of train and test are expected, and of val if there is one; rename them"
    )


def _sizes(
    pool: list[Item], parts: tuple[str, ...], sizes: tuple[int, int, int] | None, drawn_from
) -> list[int]:
    count, of = len(pool), f" in {drawn_from}" if drawn_from else ""
    if sizes is not None:
        wanted = [size for part, size in zip(PARTS, sizes, strict=True) if part in parts]
    else:
        tenths = [TENTHS[part] for part in parts]
        held_out = [max(1, round(count * t / sum(tenths))) for t in tenths[1:]]
        wanted = [count - sum(held_out), *held_out]
    if min(wanted) < 1 or sum(wanted) > count:
        numbers = " + ".join(f"{size:,}" for size in wanted)
        raise DataError(
            f"--sizes: {' + '.join(parts)} = {numbers} of {count:,} images{of}. At least one each "
            "and no more than there are can be drawn"
        )
    return wanted


def _check(chosen: dict[str, list[Item]], classes: list[str]) -> None:
    """DataError for a class that training lacks, and for a group in two splits."""
    if missing := set(classes) - {item.label for item in chosen["train"]}:
        raise DataError(
            f"class {min(missing, key=order)}: no image of it in train. Add some, leave the class "
            "out, or take other --sizes or another --seed"
        )
    seen: dict[str, str] = {}
    for part in PARTS:
        for group in {item.group for item in chosen[part]} - {None}:
            if seen.setdefault(group, part) != part:
                raise DataError(
                    f"group {group} is in {seen[group]} and in {part}, as the folders give them. "
                    "Put its images into one split, or leave out --group"
                )


def _arrays(
    collection: Collection,
    parts: dict[str, list[Item]],
    size: int,
    centre: int | None,
    name: str,
) -> dict[str, np.ndarray]:
    images = {part: np.zeros((len(parts[part]), size, size, 3), np.uint8) for part in PARTS}
    place = {item.path: (part, i) for part in PARTS for i, item in enumerate(parts[part])}
    grey = True
    for path, picture in tqdm(collection.images(set(place)), name, len(place), unit=" images"):
        part, i = place[path]
        small = fit(picture, size, centre, path)
        grey &= small.mode == "L"
        images[part][i] = np.asarray(small.convert("RGB"))
    arrays: dict[str, np.ndarray] = {}
    for part in PARTS:
        arrays[f"{part}_images"] = images[part][..., 0] if grey else images[part]
        labels = [collection.classes.index(item.label) for item in parts[part]]
        arrays[f"{part}_labels"] = np.array(labels, np.uint8)[:, None]
    return arrays | {"classes": np.array(collection.classes)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="+", type=Path, help="folders or archives")
    parser.add_argument("name", help="of the set")
    parser.add_argument("--labels", type=Path, metavar="TABLE", help="a CSV with a header")
    parser.add_argument("--image", metavar="COLUMN", help="of the table: the picture's name")
    parser.add_argument("--label", metavar="COLUMN", help="of the table: the class")
    parser.add_argument("--group", metavar="COLUMN", help="of the table: never in two splits")
    parser.add_argument("--size", type=int, default=28, help="side in pixels (28)")
    parser.add_argument("--centre", type=int, metavar="PIXELS", help="cut out this square first")
    parser.add_argument("--sizes", type=int, nargs=3, metavar=("TRAIN", "VAL", "TEST"))
    parser.add_argument("--seed", type=int, default=0, help="of the splits (0)")
    given = parser.parse_args()
    columns = given.image, given.label, given.group
    if not all(columns[:2]) if given.labels else any(columns):
        parser.error("--labels, --image and --label go together; --group is for them")
    if given.size < LEAST or (given.centre is not None and given.centre < 1) or given.seed < 0:
        parser.error(f"--size is at least {LEAST}, --centre at least 1, --seed at least 0")
    table = Table(given.labels, *columns) if given.labels else None
    build(given.source, given.name, table, given.size, given.centre, given.sizes, given.seed)


if __name__ == "__main__":
    main()
