"""Arrays of an .npz file, read with care: it may be damaged, or another file altogether."""

from pathlib import Path

import numpy as np

from replication.data import limits


def read(path: Path, *names: str) -> list[np.ndarray]:
    """The arrays of these names.

    FileNotFoundError if there is no such file; ValueError, naming it, for one that cannot be read,
    for an array that is missing or of Python objects, and for one that is declared to be larger
    than `limits.of_unpacked`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; download it, or put a copy there")
    limit = limits.of_unpacked(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            sizes = {m.filename.removesuffix(".npy"): m.file_size for m in file.zip.infolist()}
            found = {name: file[name] for name in names if sizes.get(name, limit + 1) <= limit}
    except Exception as error:  # a damaged archive raises whatever its bytes lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path}: not a readable .npz file ({reason}); delete it and download it again"
        ) from error
    for name in names:
        if name not in sizes:
            raise ValueError(f"{path}: {name} is missing; delete it and download it again")
        if name not in found:
            raise ValueError(
                f"{path}: {name} unpacks to {sizes[name]:,} bytes, far more than its file; "
                f"{limits.remedy()}"
            )
    return [found[name] for name in names]


def classes_of(path: Path, name: str, labels: np.ndarray, classes: int | None = None) -> np.ndarray:
    """Labels (n,) or (n, 1) as (n,) int64.

    classes: how many there are; without it the labels are those of training, which has each of its
    classes. ValueError, naming file and array, for labels that are not 0, 1, ..., classes - 1.
    """
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise ValueError(
            f"{path}: {labels.shape[1]} labels per image; sets with one are expected, and "
            f"{path.stem} is multi-label"
        )
    if labels.ndim not in (1, 2) or not len(labels) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {name} has shape {labels.shape} and type {labels.dtype}; an integer for each "
            "image is expected"
        )
    labels = labels.reshape(-1)
    present = np.unique(labels)
    expected = f"{path}: {name} must be 0 to K - 1 for K classes"
    if present[0] < 0 or (classes is not None and present[-1] >= classes):
        wrong = present[0] if present[0] < 0 else present[-1]
        rest = "" if classes is None else f", and training has {classes}"
        raise ValueError(f"{expected}{rest}; {wrong} is among them. Correct the file")
    if classes is None and (present[-1] != len(present) - 1 or len(present) == 1):
        shown = ", ".join(map(str, present[:5])) + (", ..." if len(present) > 5 else "")
        raise ValueError(
            f"{expected}, each of which training has; they are {shown} up to {present[-1]}. "
            "Number the classes from 0 without gaps"
        )
    return labels.astype(np.int64)
