"""The files of a data set, put into its folder: copied, or fetched from a mirror or publisher."""

import http.client
import os
import shutil
import stat
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from replication.data import limits
from replication.data.sources import OWN, DataError, Source, local, published
from replication.files import checksums, md5, replacing
from replication.settings.datasets import AnyDataSource

MIRROR = "SAFLEX_DATA_MIRROR"
TIMEOUT = 60


def obtain(name: str, source: AnyDataSource, folder: Path) -> None:
    """Put the files of the data set `name`, and nothing else, into `folder`.

    Files that are right already stay as they are, and what a killed run left goes. DataError, a
    paragraph that says what to do, if a file cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in filter(Path.is_file, folder.glob(".*")):
        leftover.unlink()
    if (origin := local(name, source)) is not None:
        wanted, present = checksums(origin), checksums(folder)
        for file in wanted:
            if present.get(file) != wanted[file]:
                with replacing(folder / file) as temporary:
                    shutil.copyfile(origin / file, temporary)
    else:
        wanted = [fetch(file, folder).name for file in published(name)]
    for file in set(checksums(folder)) - set(wanted):
        (folder / file).unlink()


def fetch(source: Source, folder: Path) -> Path:
    """`folder/source.file`, there already, from the mirror, or from the publisher.

    The mirror is a folder or a base address in SAFLEX_DATA_MIRROR. A file of another checksum or
    beyond the source's limit is refused and not left behind, and a source without a checksum is
    not asked. DataError says what was tried and where a hand-made copy goes.
    """
    path = folder / source.file
    if source.md5 is None:
        raise DataError(
            f"{source.file}: no checksum of it is known, so nothing can tell whether a copy is "
            f"right, and none is downloaded. Get it from {source.address}, put it into "
            f"{OWN / folder.name}/, say own: true under datasets.{folder.name} in params.yaml, and "
            "run the command again; its checksum is then in every result."
        )
    if path.is_file() and _fault(path, source) is None:
        return path
    tried = []
    for address in (*_mirrored(source), source.address):
        try:
            with replacing(path) as temporary:
                with temporary.open("wb") as file:
                    for chunk in _chunks(address, source):
                        file.write(chunk)
                if fault := _fault(temporary, source):
                    raise _Refused(fault)
        except _Refused as refusal:
            tried.append(f"  {address}: {refusal}")
        else:
            return path
    raise DataError(
        f"{source.file} could not be had. Tried:\n" + "\n".join(tried) + f"\nPut a copy at {path} "
        f"by hand (md5 {source.md5}), or set {MIRROR} to a folder or address that has "
        f"{source.folder}/{source.file}, and run the command again."
    )


class _Refused(Exception):
    """Why an address did not give the file."""


def _mirrored(source: Source) -> list[str]:
    if not (mirror := os.environ.get(MIRROR)):
        return []
    return [
        f"{mirror.rstrip('/')}/{part}" for part in (f"{source.folder}/{source.file}", source.file)
    ]


def _chunks(address: str, source: Source) -> Iterator[bytes]:
    """The bytes at an address or a path; _Refused for whatever goes wrong in reading them."""
    limit = limits.of_download(source)
    try:
        with closing(_opened(address)) as answer:
            total = int(getattr(answer, "headers", {}).get("Content-Length") or 0)
            came = 0
            with tqdm(total=total or None, unit="B", unit_scale=True, desc=source.file) as bar:
                while max(came, total) <= limit and (chunk := answer.read(1 << 20)):
                    yield chunk
                    came += len(chunk)
                    bar.update(len(chunk))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise _Refused("no such file") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Refused(getattr(error, "reason", None) or error) from error
    if max(came, total) > limit:
        raise _Refused(f"more than {limit:,} bytes ({limits.LIMIT}), which is too much for it")
    if came < total:
        raise _Refused(f"{came:,} of {total:,} bytes came; try again")


def _opened(address: str) -> BinaryIO:
    if "://" in address:
        return urllib.request.urlopen(address, timeout=TIMEOUT)
    if not stat.S_ISREG(os.stat(address).st_mode):
        raise FileNotFoundError(address)
    return open(address, "rb")


def _fault(path: Path, source: Source) -> str | None:
    """What is wrong with a file."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not path.stat().st_size:
        return "it is empty"
    if (found := md5(path)) != source.md5:
        page = "a web page came in place of the data; " if start.startswith(b"<") else ""
        return (
            f"{page}its md5 is {found}, not the published {source.md5}: "
            "a truncated copy or another version"
        )
    return None
