"""Pictures of a data set, decoded once into a file that is mapped, beside its folder."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from replication.files import hash_of, md5, replacing

Pictures = Callable[[], Iterator[tuple[int, Image.Image]]]


def place(folder: Path, name: str, source: Path, side: int) -> Path:
    """Where the pictures of a data set's file, an archive or a list, are kept: beside its folder,
    under a name that changes with the file and with the code that decodes."""
    code = hash_of(Path(__file__).with_name(f"{module}.py") for module in ("decoded", "pictures"))
    return folder.parent / ".unpacked" / f"{name}-{md5(source)[:16]}-{code[:8]}-{side}.npy"


def decoded(path: Path, count: int, side: int, pictures: Pictures) -> np.ndarray:
    """(count, 3, side, side) uint8, memory-mapped from a `.npy` that is written if it is not there
    or damaged.

    pictures: each with its number, squeezed to a square by bicubic interpolation.
    ValueError if one is missing.
    """
    shape = count, 3, side, side
    if (images := _kept(path, shape)) is not None:
        return images
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with replacing(path) as temporary, temporary.open("wb") as file:
        # not mapped: a full disk would be a crash and no error
        np.lib.format.write_array_header_1_0(file, header)
        start, there = file.tell(), np.zeros(count, bool)
        for number, picture in pictures():
            picture = picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
            file.seek(start + number * math.prod(shape[1:]))
            file.write(np.asarray(picture).transpose(2, 0, 1).tobytes())
            there[number] = True
        if not there.all():
            raise ValueError(f"{count - there.sum()} of {count} pictures are missing")
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What a file has; None if it is not there, cut short or of another shape."""
    try:
        images = np.lib.format.open_memmap(path, "c")
    except (FileNotFoundError, ValueError):
        return None
    return images if (images.shape, images.dtype) == (shape, np.uint8) else None
