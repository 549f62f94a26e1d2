"""Fetching one data file: the mirror first, then its publisher; checksum verified; atomic."""

import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from replication.data.sources import Source
from replication.stages.files import md5, replacing

MIRROR = "SAFLEX_DATA_MIRROR"
TIMEOUT = 60
UNREACHABLE = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
    ValueError,
)


def fetch(source: Source, folder: Path) -> Path:
    """`folder/source.file`, there already, from the mirror, or from the publisher.

    The mirror is a folder or a base address in SAFLEX_DATA_MIRROR. A file of another checksum is
    refused and not left behind; DownloadError says what was tried and where a hand-made copy goes.
    """
    path = folder / source.file
    if path.exists() and _matches(path, source):
        return path
    tried = []
    for origin in (*_mirrored(source), source.address):
        try:
            with replacing(path) as temporary:
                _copy(origin, temporary)
                if not _matches(temporary, source):
                    raise ValueError(
                        f"its md5 is {md5(temporary)}, not the published {source.md5}: "
                        "a truncated copy or another version"
                    )
                if _is_page(temporary):
                    raise ValueError("a web page came in place of the data")
            return path
        except UNREACHABLE as error:
            tried.append(f"  {origin}: {getattr(error, 'reason', error)}")
        except (FileNotFoundError, IsADirectoryError):
            tried.append(f"  {origin}: no such file")
    raise DownloadError(
        f"{source.file} could not be had. Tried:\n" + "\n".join(tried) + f"\nPut a copy at {path} "
        f"by hand (md5 {source.md5 or 'unknown'}), or set {MIRROR} to a folder or address that has "
        f"{source.folder}/{source.file}, and run the command again."
    )


class DownloadError(SystemExit):
    """Ends the stage with a paragraph for people and exit status 1."""


def _mirrored(source: Source) -> list[str]:
    if not (mirror := os.environ.get(MIRROR)):
        return []
    return [
        f"{mirror.rstrip('/')}/{part}" for part in (f"{source.folder}/{source.file}", source.file)
    ]


def _copy(origin: str, path: Path) -> None:
    if "://" not in origin:
        shutil.copyfile(origin, path)
        return
    with urllib.request.urlopen(origin, timeout=TIMEOUT) as answer, path.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0) or None
        with tqdm(total=total, unit="B", unit_scale=True, desc=path.name) as bar:
            while chunk := answer.read(1 << 20):
                file.write(chunk)
                bar.update(len(chunk))
        if total and file.tell() != total:
            raise ValueError(f"{file.tell():,} of {total:,} bytes came; try again")


def _matches(path: Path, source: Source) -> bool:
    return source.md5 is None or md5(path) == source.md5


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"<")
