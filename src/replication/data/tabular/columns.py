"""Whether a column of text holds numbers, names, or something that has to be asked about."""

import re
from collections import Counter
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import pandas as pd

WORDS = {"na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"}
SYMBOLS = "$€£¥₹₽₩₺¢%‰°"
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf(inity)?", re.I)
NEARLY = re.compile(
    rf"\(?[-+−]?\s*([A-Z]{{3}}\s|[{SYMBOLS}]\s*)?[-+−]?"
    r"(\d{1,3}([.,'’_\s]\d{3})+|\d+)?([.,]?\d+)?([eE][-+]?\d+)?"
    rf"(\s*[{SYMBOLS}]|\s[A-Z]{{3}})?\)?"
)
UNIT = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+)\s*([^\W\d_][^\d\s]*)")
DATE = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/])\d{1,2}\3(\d{2}|\d{4})|\d{1,2}\.\d{1,2}\.\d{4})"
    r"([T ]\d{1,2}:\d{2}\S*)?"
)
MOSTLY = 0.9  # of a column's different values


def typed(column: pd.Series, path: Path) -> pd.Series:
    """A column of numbers, or of text as it is.

    Words such as NA are missing among numbers and values among text. ValueError for text that is
    nearly numbers, mostly numbers with one unit or mostly dates, for numbers among text, and for
    integers that 64 bits do not hold.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column
    values = values_of(column)
    text = [value for value in values if not NUMBER.fullmatch(value)]
    nearly = [value for value in text if _is_nearly_number(value)]
    declare = "declare it categorical if these are names, drop it"
    if nearly and 2 * (len(values) - len(text) + len(nearly)) >= len(values):
        raise ValueError(
            f"{path}: column {column.name!r} holds text that is nearly numbers, such as "
            f"{nearly[0]!r}; write digits and a decimal point alone, {declare}, or empty these "
            "cells"
        )
    for what, remedy, found in (
        ("numbers with a unit", "write the numbers alone", _with_a_unit(text)),
        ("dates", "write a number of days", [v for v in text if DATE.fullmatch(v)]),
    ):
        if len(found) > 1 and len(found) >= MOSTLY * len(values):
            raise ValueError(
                f"{path}: column {column.name!r} holds {what}, such as {found[0]!r}; {remedy}, "
                f"{declare}, or empty these cells"
            )
    if values and not text:
        if long := beyond_64_bits(values):
            raise ValueError(
                f"{path}: column {column.name!r} has integers beyond 64 bits, such as {long!r}; "
                f"{declare}, or write them with a decimal point"
            )
        return parsed(column)
    if len(text) < len(values):
        raise ValueError(
            f"{path}: column {column.name!r} mixes numbers with text such as {text[0]!r}; "
            "declare it categorical, drop it, or empty these cells"
        )
    return column


def values_of(column: pd.Series) -> list[str]:
    """The different values of a column of text, without missing ones."""
    return [value for value in column.dropna().unique() if value.casefold() not in WORDS]


def _is_nearly_number(value: str) -> bool:
    return bool(NEARLY.fullmatch(value)) and any(map(str.isdigit, value))


def _with_a_unit(values: list[str]) -> list[str]:
    """Those that are a number and the commonest unit."""
    units = {value: found[1] for value in values if (found := UNIT.fullmatch(value))}
    (common, _), *_ = Counter(units.values()).most_common(1) or [(None, 0)]
    return [value for value, unit in units.items() if unit == common]


def beyond_64_bits(values: Iterable[str]) -> str | None:
    integers = (value for value in values if re.fullmatch(r"[+-]?[0-9]{19,}", value))
    return next((value for value in integers if not -(2**63) <= int(value) < 2**64), None)


def parsed(column: pd.Series) -> pd.Series:
    """Text as numbers, by the parser that reads columns without a word among them."""
    plain = column.where(column.str.fullmatch(NUMBER).eq(True), "NaN")
    numbers = pd.read_csv(StringIO("\n".join(plain)), header=None)[0]
    return numbers.set_axis(column.index).rename(column.name)
