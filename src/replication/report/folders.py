"""A folder of results written as a whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.files import writable


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place if the block succeeds.

    OSError as `files.writable` has it.
    """
    with writable(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
