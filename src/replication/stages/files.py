"""Writing result files so that a killed process or a full disk leaves no half-written one, and the
hash of the files that they were made by."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG)


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that takes its place if the block succeeds.

    OSError, naming the file and the remedy, if the folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: object) -> None:
    """JSON with sorted keys. ValueError for NaN and infinities, which JSON does not have."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """MD5 of each file of a folder, by its name."""
    return {path.name: md5(path) for path in sorted(folder.iterdir()) if path.is_file()}


def hash_of(paths: Iterable[Path]) -> str:
    """SHA-256 of the contents of files, in the order of their paths."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()


def _unwritable(path: Path, error: OSError) -> OSError:
    return OSError(
        error.errno,
        f"{path} could not be written ({error.strerror}). Free disk space or make the folder "
        "writable and run the command again; nothing computed before is lost",
    )
