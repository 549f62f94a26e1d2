"""CSV and ARFF against readers of one's own: the csv module, float() and scipy."""

import bz2
import csv
import gzip
import io
import lzma
import math
import re
import zipfile
from itertools import count

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from scipy.io import arff

from replication.data.tabular.definitions import Table
from replication.data.tabular.reading import read
from replication.data.tabular.splitting import split

fuzz = settings.get_profile("fuzz")
half = settings(fuzz, max_examples=fuzz.max_examples // 2)
fresh = count()
WORDS = {"na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"}
PACKED = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def write(folder, data, suffix=".csv"):
    """A new file in the place of the last one."""
    for old in folder.iterdir():
        old.unlink()
    path = folder / f"t{next(fresh)}{suffix}"
    path.write_bytes(data)
    return path


# ---- a reader of one's own -----------------------------------------------------------------------
def is_number(text):
    try:
        return math.isfinite(float(text)) and "_" not in text and text.isascii()
    except ValueError:
        return False


def by_hand(rows, names, target, categorical=(), dropped=()):
    """Categories, numbers and labels of rows of text, columns that do not vary left out."""
    columns = {name: [row[i].strip() for row in rows] for i, name in enumerate(names)}
    labels = [text.strip("'\"") for text in columns.pop(target)]
    words = all(map(is_number, labels))
    classes = sorted(set(map(float, labels) if words else labels))
    labels = [classes.index(float(text) if words else text) for text in labels]
    categories, numbers = {}, {}
    for name, column in columns.items():
        if name in dropped:
            continue
        cells = [None if text in ("", "?") else text for text in column]
        filled = [c for c in cells if c is not None and c.casefold() not in WORDS]
        if filled and name not in categorical and all(map(is_number, filled)):
            values = [float(c) if c in filled else math.nan for c in cells]
            if len({v for v in values if v == v}) > 1:
                numbers[name] = values
        elif len(set(cells)) > 1:
            categories[name] = cells
    return categories, numbers, labels


def same(found, expected):
    categories, numbers, labels = found
    assert labels.tolist() == expected[2]
    assert list(categories) == list(expected[0])
    for name, column in expected[0].items():
        got = [None if value != value else value for value in categories[name]]
        assert got == column, name
    assert list(numbers) == list(expected[1])
    for name, column in expected[1].items():
        np.testing.assert_allclose(numbers[name], column, rtol=1e-14, err_msg=name)


# ---- tables --------------------------------------------------------------------------------------
letters = "abXÄé ;,.|'\"-_%/()[]$"


def is_word(text):
    bare = text.strip("'\"").strip()
    return bare == text != "" and any(map(str.isalpha, text)) and text.lower() not in WORDS


words = st.text(letters + "\n", min_size=1, max_size=6).map(str.strip).filter(is_word)
plain = st.sampled_from(["red", "green", "Blue", "A1", "x y", "No", "é"])
whole = st.integers(-(2**53), 2**53).map(str)
real = st.floats(-1e9, 1e9).map(repr) | st.decimals(-999, 999, places=2).map(str)
odd = st.sampled_from(["+1", "007", ".5", "5.", "1e3", "-2E-2", "+.5e+1", "0"])
COLUMNS = {"words": words | plain, "codes": plain, "whole": whole, "real": real, "odd": odd | whole}
MISSING = {"words": ["", "?"], "codes": ["", " ? "]}
CLASSES = ("0", "1"), ("yes", "no"), ("2", "10"), ("b", "a", "é"), ("1.5", "-3"), ("'b'", "a", "b")
names_of = st.text("abcÄ xyz_0'é", min_size=1, max_size=5).map(str.strip).filter(bool)


@st.composite
def tables(draw, least=12, words=words):
    """Names, rows of text, target, categorical and dropped columns; every class is there twice."""
    height = draw(st.integers(least, least + 12))
    names = draw(st.lists(names_of, min_size=2, max_size=6, unique=True))
    columns = []
    for _ in names[1:]:
        kind = draw(st.sampled_from(sorted(COLUMNS)))
        gaps = st.sampled_from(MISSING.get(kind, ["", "?", "NA", "nan", "None"]))
        cell = COLUMNS[kind] | gaps if draw(st.booleans()) else COLUMNS[kind]
        few = draw(st.lists(cell, min_size=1, max_size=height))
        columns.append([few[i % len(few)] for i in range(height)])
    pair = draw(st.sampled_from(CLASSES))
    target = [pair[i % len(pair)] for i in range(height)]
    columns.insert(place := draw(st.integers(0, len(columns))), target)
    names.insert(place, names.pop(0))
    others = [name for name in names if name != names[place]]
    declared = draw(st.lists(st.sampled_from(others), unique=True))
    return names, list(zip(*columns, strict=True)), names[place], *draw_two(draw, declared)


def draw_two(draw, names):
    cut = draw(st.integers(0, len(names)))
    return tuple(names[:cut]), tuple(names[cut:])


def varies(expected):
    return expected[0] or expected[1]


def text_of(names, rows, **options):
    text = io.StringIO()
    csv.writer(text, **options).writerows([names, *rows])
    return text.getvalue()


OPTIONS = {
    "delimiter": st.sampled_from([",", ";", "\t", "|"]),
    "lineterminator": st.sampled_from(["\n", "\r\n"]),
    "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
}


@fuzz
@given(tables(), st.fixed_dictionaries(OPTIONS), st.sampled_from(sorted(PACKED)), st.booleans())
def test_a_csv_is_what_the_csv_module_and_float_make_of_it(folder, table, options, packed, marked):
    names, rows, target, categorical, dropped = table
    text = text_of(names, rows, **options)
    reread = list(csv.reader(io.StringIO(text, newline=""), delimiter=options["delimiter"]))
    assume(reread[1:] == list(map(list, rows)))
    expected = by_hand(reread[1:], names, target, categorical, dropped)
    assume(varies(expected))
    data = ("\ufeff" * marked + text).encode()
    path = write(folder, PACKED[packed](data), ".csv" + packed)
    spec = Table(target, None, options["delimiter"], True, categorical, dropped)
    same(read(path, spec), expected)


@half
@given(tables(30), st.integers(0, 99))
def test_splits_are_those_of_the_training_rows_by_hand(folder, table, seed):
    names, rows, target, categorical, _ = table
    names = [*names, "row"]
    rows = [(*row, str(i)) for i, row in enumerate(rows)]
    categories, numbers, labels = by_hand(rows, names, target, categorical)
    path = write(folder, text_of(names, rows).encode())
    dataset = split("t", path, Table(target, None, ",", True, categorical), seed)
    parts = dataset.train, dataset.validation, dataset.tests["test"]
    inputs = np.concatenate([part.inputs for part in parts])
    order = np.argsort(np.argsort(inputs[:, -1]))
    train = order[: len(dataset.train)]
    assert [len(p) for p in parts[1:]] == pytest.approx(
        [0.15 * len(rows), 0.2 * len(rows)], abs=1.5
    )
    assert np.concatenate([p.labels for p in parts]).tolist() == [labels[i] for i in order]
    for k in set(labels):
        share = labels.count(k) / len(labels)
        assert all(abs((p.labels == k).sum() - share * len(p)) < 2 for p in parts)
    expected, sizes = [], []
    for column in categories.values():
        seen = [column[i] for i in train]
        known = sorted({c for c in seen if c is not None and seen.count(c) > 1})
        expected.append([known.index(column[i]) + 1 if column[i] in known else 0 for i in order])
        sizes.append(len(known) + 1)
    for column in numbers.values():
        column = np.array(column)
        mean = np.nan_to_num(np.nanmean(column[train])) if len(train) else 0
        filled = np.where(np.isnan(column), mean, column)
        spread = filled[train].std() if np.ptp(filled[train]) else math.inf
        expected.append((filled[order] - mean) / spread)
    assert dataset.cardinalities == tuple(sizes)
    assert dataset.classes == max(labels) + 1
    np.testing.assert_allclose(inputs, np.stack(expected, 1), rtol=1e-4, atol=1e-4)


def spoil(draw, names, rows, target):
    """What is wrong, and the file's bytes."""
    rows = [list(row) for row in rows]
    victim = draw(st.sampled_from([i for i, n in enumerate(names) if n != target]))
    at, place = draw(st.integers(0, len(rows) - 1)), names.index(target)
    kind = draw(st.sampled_from(sorted(SPOILT)))
    match kind:
        case "short":
            rows[at].pop()
        case "long":
            rows[at].append("1")
        case "twice":
            names = [target if i == victim else name for i, name in enumerate(names)]
        case "target":
            rows = [[*row[:place], "1", *row[place + 1 :]] for row in rows]
        case "unlabelled":
            rows[at][place] = ""
        case "absent":
            names = ["other" if name == target else name for name in names]
        case "index":
            names = ["" if i == victim else name for i, name in enumerate(names)]
        case "nearly" | "mixed" | "infinite" | "huge" | "64 bits" | "units" | "dates":
            for i, row in enumerate(rows):
                row[victim] = SPOILT[kind][1](i)
    data = text_of(names, rows).encode()
    if kind == "latin-1":
        data = data.replace(b"\n", b"\xe9\n", 1)
    return kind, names[victim], b"" if kind == "empty" else data


SPOILT = {
    "short": ("line [0-9]+ has .* cells where",),
    "long": ("line [0-9]+ has .* cells where|not a table|rows of .* cells under",),
    "twice": ("occurs more than once",),
    "target": ("has one class",),
    "unlabelled": ("have no value in the target",),
    "absent": ("there is no column",),
    "index": ("a column is called ''",),
    "empty": ("the file is empty",),
    "latin-1": ("not a table in UTF-8",),
    "nearly": ("{} holds text that is nearly numbers", lambda i: f"{i},{i % 7}"),
    "units": ("{} holds numbers with a unit", lambda i: f"{i}.5 kg"),
    "dates": ("{} holds dates", lambda i: f"2021-03-{i % 28 + 1:02}"),
    "mixed": ("{} mixes numbers with text", lambda i: "x" if i % 9 == 3 else str(i)),
    "infinite": ("{} holds infinities", lambda i: "inf" if i == 5 else str(i)),
    "huge": ("{} has values beyond", lambda i: f"{i}e200"),
    "64 bits": ("{} has integers beyond 64 bits", lambda i: str(10**19 * 9 + i)),
}


@half
@given(tables(), st.data())
def test_a_faulty_csv_is_refused_with_file_and_column(folder, table, data):
    names, rows, target, _, _ = table
    kind, column, content = spoil(data.draw, names, rows, target)
    event(kind)
    path = write(folder, content)
    message = SPOILT[kind][0].format(re.escape(repr(column)))
    with pytest.raises(ValueError, match=message) as caught:
        read(path, Table(target))
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


@half
@given(tables(), st.sampled_from([".gz", ".bz2", ".xz", ".zip"]), st.data())
def test_a_packed_file_that_is_damaged_is_refused_or_read_as_it_was(folder, table, packed, data):
    names, rows, target, _, _ = table
    text = text_of(names, rows).encode()
    expected = by_hand(rows, names, target)
    assume(varies(expected))
    if packed == ".zip":
        with zipfile.ZipFile(held := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("t.csv", text)
        whole = held.getvalue()
    else:
        whole = PACKED[packed](text)
    damaged = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged[at] ^= data.draw(st.integers(1, 255))
    else:
        damaged = damaged[:at] or b"\0"
    path = write(folder, bytes(damaged), packed)
    try:
        found = read(path, Table(target))
    except ValueError as error:
        message = str(error)
    else:
        return same(found, expected)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1


any_text = st.text("ab1.? -\n\n", max_size=60) | st.text("ab1.,,,\n\n\"' ?-;\r\0é", max_size=60)


@fuzz
@given(any_text, st.booleans())
def test_any_text_is_refused_or_read_as_the_csv_module_reads_it(folder, text, first):
    lines = [f"{line},{i % 2},{i}" for i, line in enumerate(text.split("\n"))]
    path = write(folder, "\n".join(["x,y,z", *(lines if first else [text])]).encode())
    try:
        found = read(path, Table("y"))
    except ValueError as error:
        event("refused")
        message = str(error)
    else:
        event("read")
        reader = csv.reader(io.StringIO(path.read_text(), newline=""), skipinitialspace=True)
        rows = [row for row in reader if any(map(str.strip, row)) or len(row) > 1]
        return same(found, by_hand(rows[1:], ["x", "y", "z"], "y"))
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1


# ---- ARFF ----------------------------------------------------------------------------------------
def quoted(text):
    bare = re.fullmatch(r"[A-Za-z0-9_.+-]+", text)
    return text if bare else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@st.composite
def arffs(draw, values=plain, named=names_of, gaps=(",", ", ", " , ")):
    """Names, kinds (a list of values, or a word), rows, and the text of the file."""
    height = draw(st.integers(12, 24))
    names = draw(st.lists(named, min_size=2, max_size=5, unique=True))
    kinds, columns = [], []
    for _ in names[1:]:
        if draw(st.booleans()):
            kind = draw(st.lists(values, min_size=1, max_size=4, unique=True))
            cell = st.sampled_from(kind)
        else:
            kind = draw(st.sampled_from(["numeric", "REAL", "Integer"]))
            cell = whole | real if kind != "Integer" else whole
        cell = cell | st.just("?") if draw(st.booleans()) else cell
        kinds.append(kind)
        columns.append(draw(st.lists(cell, min_size=height, max_size=height)))
    classes = draw(st.sampled_from([["0", "1"], ["no", "yes"], ["b", "a"]]))
    kinds.append(classes)
    columns.append([classes[i % 2] for i in range(height)])
    rows = list(zip(*columns, strict=True))
    names = [*names[1:], names[0]]
    gap = draw(st.sampled_from(gaps))
    lines = ["@relation r", ""]
    for name, kind in zip(names, kinds, strict=True):
        said = kind if isinstance(kind, str) else "{" + gap.join(map(quoted, kind)) + "}"
        lines.append(f"{draw(st.sampled_from(['@attribute', '@ATTRIBUTE']))} {quoted(name)} {said}")
    lines += [draw(st.sampled_from(["@data", "@DATA", "% note\n@data"]))]
    for row in rows:
        cells = [
            cell if isinstance(kind, str) or cell == "?" else quoted(cell)
            for kind, cell in zip(kinds, row, strict=True)
        ]
        lines.append(gap.join(cells))
        if draw(st.integers(0, 9)) == 0:
            lines.append(draw(st.sampled_from(["", "% note"])))
    return names, kinds, rows, "\n".join(lines) + "\n"


@fuzz
@given(arffs(plain | words.filter(lambda t: "\n" not in t)))
def test_an_arff_file_is_what_it_was_made_of(folder, table):
    names, kinds, rows, text = table
    nominal = {n for n, k in zip(names, kinds, strict=True) if not isinstance(k, str)}
    expected = by_hand(rows, names, names[-1], nominal)
    assume(varies(expected))
    same(read(write(folder, text.encode(), ".arff"), Table(names[-1])), expected)


@half
@given(
    arffs(
        st.sampled_from(["red", "green", "blue", "A1"]),
        st.text("abc_0", min_size=1, max_size=5).filter(lambda t: t[0] != "_"),
        (",", ", "),
    )
)
def test_an_arff_file_is_what_scipy_reads(folder, table):
    names, kinds, _, text = table
    path = write(folder, text.encode(), ".arff")
    cells, _ = arff.loadarff(io.StringIO(text))
    rows, nominal = [], {n for n, k in zip(names, kinds, strict=True) if not isinstance(k, str)}
    for row in cells:
        texts = [c.decode() if isinstance(c, bytes) else repr(float(c)) for c in row]
        rows.append(["?" if t == "nan" else t for t in texts])
    expected = by_hand(rows, names, names[-1], nominal)
    assume(varies(expected))
    same(read(path, Table(names[-1])), expected)


@half
@given(arffs(), st.data())
def test_a_faulty_arff_file_is_refused_with_its_line_or_column(folder, table, data):
    names, _, _, text = table
    head, body = re.split("(?i)@data", text)
    lines = [line for line in body.split("\n") if line and line[0] != "%"]
    at = data.draw(st.integers(0, len(lines) - 1))
    last = quoted(names[-1])
    kind = data.draw(
        st.sampled_from(["short", "long", "sparse", "stranger", "twice", "type", "none"])
    )
    match kind:
        case "short":
            lines[at], message = lines[at].rsplit(",", 1)[0], "cells where"
        case "long":
            lines[at], message = lines[at] + ",1", "cells where|not a table|rows of .* cells under"
        case "sparse":
            lines[at], message = "{0 1}", "is a sparse row"
        case "stranger":
            lines[at] = lines[at].rsplit(",", 1)[0] + ",stranger"
            message = "has values that its declaration does not allow.*'stranger'"
        case "twice":
            head, message = f"{head}@attribute {last} numeric\n", "occurs more than once"
        case "type":
            head, message = f"{head}@attribute more date\n", "declares no attribute"
        case "none":
            lines, message = [], "the file has no rows"
    path = write(folder, (head + "@data\n" + "\n".join(lines)).encode(), ".arff")
    with pytest.raises(ValueError, match=message) as caught:
        read(path, Table(names[-1]))
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
