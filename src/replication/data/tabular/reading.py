"""A table's file as categories, numbers and labels: every column has a type, or is refused.

What a column holds is never guessed against the file: text that is nearly numbers, a number that
was exported with its row, a short row are refused with the column, the reason and the remedy.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from replication.data.tabular.columns import NUMBER, beyond_64_bits, parsed, typed, values_of
from replication.data.tabular.definitions import Table
from replication.data.tabular.formats import (
    READERS,
    cells,
    opened,
    read_csv,
    refuse_inflated,
)

LARGEST = 1e150  # squares of larger numbers, summed over rows, leave the range of float64


def read(path: Path, table: Table) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Categories (n, C) as values, numbers (n, N) float64 and labels (n,) int64 of a file.

    Columns that do not vary are left out. FileNotFoundError, or ValueError that names file, column
    and remedy.
    """
    files = [path, path.parent / table.labels] if table.labels else [path]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; download it, or put a copy there")
    return _read_once(path, table, tuple(file.stat().st_mtime_ns for file in files))


@lru_cache(maxsize=1)  # the seeds of a cell differ in their splits alone
def _read_once(path, table, modified):
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; download or export it again")
    refuse_inflated(path)
    frame, nominal = READERS.get(path.suffix, read_csv)(path, table)
    if table.labels:
        file = path.parent / table.labels
        labels = cells(lambda: opened(file), file, [table.target])
        if len(labels) != len(frame):
            raise ValueError(
                f"{path}: {len(frame)} rows, but {len(labels)} labels in {table.labels}; "
                "download both again"
            )
        frame = pd.concat([frame, labels], axis=1)
    for name in (table.target, *table.categorical, *table.dropped):
        if name not in frame:
            raise ValueError(
                f"{path}: there is no column {name!r}; there are {', '.join(frame.columns)}: "
                "name one of these, or another separator"
            )
    labels = _labels(frame[table.target], path, table)
    features = frame.drop(columns=[table.target, *table.dropped])
    columns = {
        name: column if name in nominal else typed(column, path)
        for name, column in features.items()
    }
    numeric = {
        name
        for name, column in columns.items()
        if name not in nominal and pd.api.types.is_numeric_dtype(column)
    }
    categories = pd.DataFrame(
        {n: c.astype(object) for n, c in columns.items() if n not in numeric}, frame.index
    )
    numbers = pd.DataFrame(
        {n: c.astype(np.float64) for n, c in columns.items() if n in numeric}, frame.index
    )
    for name in numbers.columns[np.isinf(numbers).any()]:
        raise ValueError(
            f"{path}: column {name!r} holds infinities; leave these cells empty (missing) or clip"
        )
    for name in numbers.columns[(numbers.abs() > LARGEST).any()]:
        raise ValueError(
            f"{path}: column {name!r} has values beyond {LARGEST:g}, whose squares no float64 "
            "holds; leave these cells empty (missing), or use another unit"
        )
    categories = categories.loc[:, categories.nunique(dropna=False) > 1]
    varies = (numbers.max() > numbers.min()) & (numbers.std() > table.deviation)
    numbers = numbers.loc[:, varies]
    if categories.shape[1] + numbers.shape[1] == 0:
        raise ValueError(f"{path}: no column varies, so there is no feature; check the file")
    return categories, numbers, labels


def _labels(target, path, table):
    if not pd.api.types.is_numeric_dtype(target):
        target = target.str.strip("'\"")
        values = values_of(target)
        numeric = values and all(map(NUMBER.fullmatch, values)) and not beyond_64_bits(values)
        target = parsed(target) if numeric else target
    if target.isna().any():
        raise ValueError(
            f"{path}: {target.isna().sum()} rows have no value in the target {table.target!r}; "
            "remove these rows"
        )
    if pd.api.types.is_float_dtype(target) and not np.isfinite(target).all():
        raise ValueError(f"{path}: the target {table.target!r} holds infinities; name its classes")
    values = target.to_numpy() if table.positive is None else (target == table.positive).to_numpy()
    classes, labels = np.unique(values, return_inverse=True)
    if len(classes) == 1:
        raise ValueError(
            f"{path}: the target {table.target!r} has one class"
            + ("" if table.positive is None else f" (either all or none are {table.positive!r})")
            + "; name another column or add rows of another class"
        )
    return labels.astype(np.int64)
