"""Files in folders, .zip and .tar archives, read where they are: nothing is ever unpacked to disk.

A name that leaves its folder, a link, and a file that is too large are refused before it is read.
"""

import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from replication.data.sources import DataError

LARGEST = 2**28
"""Bytes of a file that is read."""
STRAY = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"}


class Folder:
    def __init__(self, path: Path):
        self.path = path

    def entries(self) -> Iterator[tuple[str, str]]:
        """(name, what is wrong with it or nothing) of everything that is no folder."""
        for folder, folders, files in os.walk(self.path, onerror=_fail):
            folders[:] = [name for name in folders if not _stray(name)]
            for name in (*folders, *files):
                path = Path(folder, name)
                mode = path.lstat().st_mode
                if not stat.S_ISDIR(mode):
                    fault = "" if stat.S_ISREG(mode) else "is a link or no file"
                    yield path.relative_to(self.path).as_posix(), fault

    def contents(self, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
        for name, _ in self.entries():
            if name in wanted:
                with (self.path / name).open("rb") as file:
                    yield name, file.read(LARGEST + 1)


class Zip:
    def __init__(self, path: Path):
        self.path = path

    def entries(self) -> Iterator[tuple[str, str]]:
        with zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    kind = stat.S_IFMT(info.external_attr >> 16)
                    fault = "" if kind in (0, stat.S_IFREG) else "is a link or no file"
                    locked = "is encrypted" if info.flag_bits & 1 else ""
                    yield _tidy(info.filename), fault or locked

    def contents(self, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
        with zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                if _tidy(info.filename) in wanted and not info.is_dir():
                    with archive.open(info) as file:
                        yield _tidy(info.filename), file.read(LARGEST + 1)


class Tar:
    def __init__(self, path: Path):
        self.path = path

    def entries(self) -> Iterator[tuple[str, str]]:
        with tarfile.open(self.path) as archive:
            for info in archive:
                if not info.isdir():
                    yield _tidy(info.name), "" if info.isfile() else "is a link or no file"
            archive.fileobj.seek(archive.offset)  # damage there ends the loop and raises nothing
            if archive.fileobj.read(512) != bytes(512):
                raise EOFError("its end is missing")

    def contents(self, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
        with tarfile.open(self.path) as archive:  # in its order: a .tar.gz is read from the front
            for info in archive:
                if _tidy(info.name) in wanted and info.isfile():
                    yield _tidy(info.name), archive.extractfile(info).read(LARGEST + 1)


class Members:
    """The files of a folder or an archive by name, hidden and stray ones left out.

    DataError, naming source and file, where one cannot be read or must not be.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._readable():
            if path.is_dir():
                self.source = Folder(path)
            elif not path.is_file():
                raise DataError(f"{path}: no such file or folder. Correct the path")
            elif tarfile.is_tarfile(path):
                self.source = Tar(path)
            elif zipfile.is_zipfile(path):
                self.source = Zip(path)
            else:
                raise DataError(
                    f"{path}: neither a folder nor a .zip or .tar archive that can be read. If it "
                    "is one, it came incomplete: download it again"
                )
            self.names = sorted(self._names())

    def read(self, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
        """(name, content) of those that are wanted, in the order of the archive."""
        with self._readable():
            for name, content in self.source.contents(wanted):
                if len(content) > LARGEST:
                    raise DataError(
                        f"{self.path}: {name} has more than {LARGEST:,} bytes. Remove it, or store "
                        "a smaller one"
                    )
                yield name, content

    def _names(self) -> Iterator[str]:
        known = set()
        for name, fault in self.source.entries():
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts or re.search(r"\\|^[A-Za-z]:", name):
                raise DataError(
                    f"{self.path}: the name {name!r} leads out of its folder, or has a backslash. "
                    "Pack the folder anew, with relative paths"
                )
            if any(map(_stray, parts)):
                continue
            if not name.isprintable():
                raise DataError(f"{self.path}: {name!r} cannot be printed. Rename the file")
            if fault:
                raise DataError(
                    f"{self.path}: {name} {fault}. Put the file itself in its place, or remove it"
                )
            if name in known:
                raise DataError(f"{self.path}: {name} is twice in it. Remove one of them")
            known.add(name)
            yield name

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a damaged archive raises whatever its bytes lead to
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"{self.path}: cannot be read ({reason}). If it is damaged, download or pack it "
                "again; if access is denied, change its permissions"
            ) from error


def _tidy(name: str) -> str:
    return PurePosixPath(name).as_posix()


def _stray(part: str) -> bool:
    return (part.startswith(".") and part != "..") or part.lower() in STRAY


def _fail(error: OSError) -> None:
    raise error
