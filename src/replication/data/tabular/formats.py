"""Frames from CSV, ARFF and MATLAB files: text is stripped, and empty cells and ? are missing."""

import bz2
import csv
import gzip
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from scipy.io import loadmat

from replication.data.limits import check_unpacked
from replication.data.tabular.columns import typed
from replication.data.tabular.definitions import Table

COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, NotImplementedError)
MISSING = ["", "?"]
MAT_HEADER, MAT_COMPRESSED = 128, 15
CHUNK = 2**20
ATTRIBUTE = re.compile(
    r"""@attribute\s+(?P<name>'(\\.|[^'\\])*'|"(\\.|[^"\\])*"|[^\s{]+)(\s+|(?=\{))"""
    r"""(\{(?P<values>.*)\}|(?P<kind>numeric|real|integer|string)(\s*\[.*\])?)\s*(%.*)?""",
    re.I,
)


def read_csv(path: Path, table: Table) -> tuple[pd.DataFrame, set[str]]:
    """The cells of a CSV, and the columns that are categories by declaration."""
    options = {"delimiter": table.separator, "skipinitialspace": True}
    with _named(path), opened(path) as file:
        first = next(filled_rows(csv.reader(file, **options)), None)
    if first is None:
        raise ValueError(f"{path}: the file has no rows; download or export it again")
    names = [name.strip() for name in first] if table.header else list(map(str, range(len(first))))
    if len(names) == 1:
        raise ValueError(
            f"{path}: only one column, {names[0]!r}, with the separator {table.separator!r}; "
            "name the separator that the file uses"
        )
    for name in set(names) - set(table.dropped):
        if re.fullmatch(r"(Unnamed: [0-9]+)?", name):
            raise ValueError(
                f"{path}: a column is called {name!r}, as an index is that was exported with the "
                "rows, and whose order can give the class away; export the file without it, or "
                "name the column in `dropped`"
            )
    text = [name for name in table.categorical if name in names]
    frame = cells(lambda: opened(path), path, names, text, table.header, **options)
    return frame, set(text)


def read_arff(path: Path, table: Table) -> tuple[pd.DataFrame, set[str]]:
    """The cells of a dense ARFF file, and its nominal columns."""
    lines = iter(_arff_lines(path))
    kinds = {}
    for number, line in lines:
        if re.fullmatch(r"@data\s*(%.*)?", line, re.I):
            break
        if line[:10].lower() == "@attribute":
            if not (attribute := ATTRIBUTE.fullmatch(line)):
                raise ValueError(
                    f"{path}: line {number} declares no attribute that can be read here, "
                    f"{line[:80]!r}; make it numeric, string or a list in braces"
                )
            name = _unquoted(attribute["name"])
            if name in kinds:
                raise ValueError(
                    f"{path}: column {name!r} occurs more than once; rename all but one"
                )
            values, kind = attribute["values"], attribute["kind"]
            kinds[name] = kind.lower() if values is None else _listed(values)
    rows = {}
    for number, line in lines:
        if line.startswith("{"):
            raise ValueError(
                f"{path}: line {number} is a sparse row; save the file with dense rows, or as CSV"
            )
        rows[number] = line
    if not kinds or not rows:
        raise ValueError(f"{path}: the file has no rows; download or export it again")
    data = "\n".join(rows.get(i, "") for i in range(1, max(rows) + 1))  # each on its own line
    nominal = {name for name, kind in kinds.items() if isinstance(kind, set)}
    frame = cells(
        lambda: nullcontext(io.StringIO(data)),
        path,
        list(kinds),
        sorted(nominal | set(table.categorical) & set(kinds)),
        quotechar=_quote(data),
        escapechar="\\",
    )
    for name in (name for name in kinds if name not in table.dropped):
        column = frame[name]
        if name in nominal:
            strange = column[~column.isin(kinds[name]) & column.notna()]
        elif kinds[name] == "string" or _is_numeric(column := typed(column, path)):
            strange = []
        else:
            strange = column.dropna()
        if len(strange):
            raise ValueError(
                f"{path}: column {name!r} has values that its declaration does not allow, such as "
                f"{strange.iloc[0]!r}; quote values with blanks or %, or correct the declaration"
            )
    return frame, nominal | set(table.categorical)


def read_mat(path: Path, table: Table) -> tuple[pd.DataFrame, set[str]]:
    """Columns "0", "1", ... of the variable X and the target of the variable y."""
    try:
        variables = loadmat(path)
        features, target = variables["X"], np.ravel(variables["y"])
        if features.ndim != 2 or features.dtype.kind not in "fiub" or len(features) != len(target):
            raise ValueError(f"X is {features.shape} {features.dtype}, y {target.shape}")
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path}: not a MATLAB 5 file with variables X and y ({reason}); download it again"
        ) from error
    frame = pd.DataFrame(features).rename(columns=str).assign(**{table.target: target})
    return frame, set(table.categorical)


READERS = {".arff": read_arff, ".mat": read_mat}


def refuse_inflated(path: Path) -> None:
    """ValueError for a packed file out of which comes far more than is in it."""
    unpackers = {".zip": _out_of_zip, ".mat": _out_of_mat} | dict.fromkeys(COMPRESSED, _out_of)
    if path.suffix in unpackers:
        with _named(path):
            check_unpacked(path, map(len, unpackers[path.suffix](path)))


def _out_of(path: Path) -> Iterator[bytes]:
    with COMPRESSED[path.suffix](path, "rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")


def _out_of_zip(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                yield from iter(lambda: file.read(CHUNK), b"")


def _out_of_mat(path: Path) -> Iterator[bytes]:
    """Of the packed variables of MATLAB 5; what is damaged ends it, which loading it will say."""
    with path.open("rb") as file, suppress(zlib.error):
        order = ">" if file.read(MAT_HEADER).endswith(b"MI") else "<"
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            data, unpacker = file.read(size), zlib.decompressobj()
            while kind == MAT_COMPRESSED and data:
                yield unpacker.decompress(data, CHUNK)
                data = unpacker.unconsumed_tail


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The text of a file, unpacked where its name says that it is packed."""
    options = {"encoding": "utf-8-sig", "newline": ""}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX")]
            if len(names) != 1:
                raise ValueError(f"{path}: {len(names)} files in the archive; one is expected")
            with archive.open(names[0]) as file:
                yield io.TextIOWrapper(file, **options)
    else:
        with COMPRESSED.get(path.suffix, open)(path, "rt", **options) as file:
            yield file


def filled_rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    return (row for row in reader if any(map(str.strip, row)) or len(row) > 1)


def cells(
    source: Callable[[], AbstractContextManager[TextIO]],
    path: Path,
    names: Sequence[str],
    text: Sequence[str] = (),
    header: bool = False,
    delimiter: str = ",",
    **options,
) -> pd.DataFrame:
    """A frame of the cells of `source`, the columns `text` kept as they are written.

    Rows have as many cells as there are names; a header is the first row that is not blank.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: column {twice[0]!r} occurs more than once; rename all but one")
    options |= {"skipinitialspace": True}
    with _named(path), source() as file:
        if header:
            next(filled_rows(csv.reader(file, delimiter=delimiter, **options)))
        try:
            frame = pd.read_csv(
                file,
                sep=delimiter,
                header=None,
                na_values=MISSING,
                keep_default_na=False,
                low_memory=False,
                dtype={names.index(name): str for name in text},
                **options,
            )
        except pd.errors.ParserError:
            _refuse_ragged(source, path, len(names), delimiter=delimiter, **options)
            raise
    if frame.shape[1] != len(names):
        raise ValueError(
            f"{path}: rows of {frame.shape[1]} cells under {len(names)} names; name the separator "
            "that the file uses, or complete the header"
        )
    if frame.iloc[:, -1].isna().any():  # as it is in a row that ends early
        _refuse_ragged(source, path, len(names), delimiter=delimiter, **options)
    frame = frame.set_axis(names, axis=1)
    for name in frame.columns:
        if not _is_numeric(frame[name]):
            stripped = frame[name].astype("str").str.strip()
            frame[name] = stripped.where(~stripped.isin(MISSING))
    return frame


def _refuse_ragged(source, path, width, **options) -> None:
    """ValueError naming the first row that has not `width` cells."""
    with _named(path), source() as file:
        reader = csv.reader(file, **options)
        for row in filled_rows(reader):
            if len(row) != width:
                raise ValueError(
                    f"{path}: line {reader.line_num} has {len(row)} cells where {width} are "
                    "expected; complete it, or name the separator that the file uses"
                )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of reading as a ValueError that names the file."""
    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: the file has no rows; download or export it again") from error
    except (pd.errors.ParserError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path}: not a table in UTF-8 ({str(error).strip()}); name the separator that the "
            "file uses, or export it again"
        ) from error
    except DAMAGED as error:
        raise ValueError(
            f"{path}: the archive is damaged or ends early ({error}); download it again"
        ) from error


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _arff_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is neither blank nor a comment."""
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.splitlines(), 1):
        if not (line := line.strip()) or line.startswith("%"):
            continue
        if not line.isascii() and any("\udc80" <= letter <= "\udcff" for letter in line):
            raise ValueError(f"{path}: line {number} is not in UTF-8; save the file as UTF-8")
        yield number, line


def _quote(text: str) -> str:
    """The quotation mark that a part of an ARFF file uses."""
    return '"' if '"' in text and "'" not in text else "'"


def _unquoted(name: str) -> str:
    quoted = name[0] in "'\"" and name[0] == name[-1]
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if quoted else name


def _listed(values: str) -> set[str]:
    options = {"quotechar": _quote(values), "escapechar": "\\", "skipinitialspace": True}
    return {value.strip() for value in next(csv.reader([values], **options), [])}
