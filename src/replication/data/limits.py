"""How large data may be: what a download brings, and what comes out of a packed file.

SAFLEX_DATA_LIMIT, in bytes, takes the place of both limits.
"""

import os
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from replication.data.sources import DataError, Source

LIMIT = "SAFLEX_DATA_LIMIT"
SMALL, RATIO, LARGE = 64 * 2**20, 100, 4 * 10**9


def of_download(source: Source) -> int:
    return _given() or source.limit


def of_unpacked(path: Path) -> int:
    """100 times the file, but at least 64 MiB and at most 4 GB."""
    return _given() or min(LARGE, max(SMALL, RATIO * path.stat().st_size))


def remedy() -> str:
    return f"delete it and download it again, or set {LIMIT} to more bytes if it is right"


def check_unpacked(path: Path, sizes: Iterable[int]) -> None:
    """ValueError, naming the file, as soon as the sizes of what comes out of it are too much."""
    limit = of_unpacked(path)
    if any(came > limit for came in accumulate(sizes)):
        raise ValueError(
            f"{path}: it unpacks to more than {limit:,} bytes, far more than its file; {remedy()}"
        )


def _given() -> int | None:
    if not (text := os.environ.get(LIMIT)):
        return None
    if not text.isdecimal() or int(text) < 1:
        raise DataError(f"{LIMIT}: a number of bytes >= 1 is expected, got {text!r}")
    return int(text)
