"""Files that are nearly tables: read as they are meant, or refused with column and remedy."""

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from replication.data import limits
from replication.data.tabular.definitions import Table
from replication.data.tabular.reading import read
from replication.data.tabular.splitting import split

ROWS = 40
NUMBERS = np.random.default_rng(0).normal(size=ROWS).round(2).tolist()


def table(path, column, target=None, separator=",", name="x"):
    """A CSV of a column as it is written, a number and the target."""
    target = [i % 2 for i in range(ROWS)] if target is None else target
    lines = [separator.join(map(str, row)) for row in zip(column, NUMBERS, target, strict=True)]
    path.write_text("\n".join([separator.join((name, "z", "y")), *lines]) + "\n", encoding="utf-8")
    return path


def cycled(*values):
    return [values[i % len(values)] for i in range(ROWS)]


NEARLY = {
    "decimal comma": [f"{i},{i % 7}" for i in range(ROWS)],
    "decimal comma and signs": [f"{'-' * (i % 2)}0,{i}" for i in range(ROWS)],
    "per cent": [f"{i}%" for i in range(ROWS)],
    "per cent, spaced": [f"{i}.5 %" for i in range(ROWS)],
    "thousands": [f'"{i + 1},000"' for i in range(ROWS)],
    "thousands by dots": [f"{i + 1}.000.000" for i in range(ROWS)],
    "thousands by spaces": [f"{i + 1} 000" for i in range(ROWS)],
    "thousands by narrow spaces": [f"{i + 1}\u202f000" for i in range(ROWS)],
    "thousands by apostrophes": [f"{i + 1}’000" for i in range(ROWS)],
    "dollars": [f"${i}.50" for i in range(ROWS)],
    "negative dollars": [f"-${i}.50" for i in range(ROWS)],
    "euros": [f"{i} €" for i in range(ROWS)],
    "codes of currencies": [f"{i}.5 EUR" for i in range(ROWS)],
    "bookkeeper's minus": [f"({i}.5)" for i in range(ROWS)],
    "a real minus sign": [f"−{i}.5" for i in range(ROWS)],
    "with words for missing": [f"{i}%" if i % 3 else "NA" for i in range(ROWS)],
    "with plain numbers": [f'"{997 + i:,}"' for i in range(ROWS)],
    "with some text": [f"{i}%" if i % 3 else "unknown" for i in range(ROWS)],
}


@pytest.mark.parametrize("case", NEARLY)
def test_text_that_is_nearly_numbers_is_refused_unless_it_is_declared(case, tmp_path):
    separator = ";" if '"' not in NEARLY[case][0] else ","
    path = table(tmp_path / "t.csv", NEARLY[case], separator=separator)
    with pytest.raises(ValueError, match=r"column 'x' holds text that is nearly numbers.*decimal"):
        read(path, Table("y", separator=separator))
    categories, numbers, _ = read(path, Table("y", separator=separator, categorical=("x",)))
    assert list(categories) == ["x"]
    assert list(numbers) == ["z"]
    assert list(read(path, Table("y", separator=separator, dropped=("x",)))[1]) == ["z"]


UNITS = {
    "letters": [f"{i}kg" for i in range(ROWS)],
    "a blank": [f"-{i}.5 km/h" for i in range(ROWS)],
    "Greek": [f"{i} µm" for i in range(ROWS)],
    "words for missing": [f"{i}kg" if i % 3 else "NA" for i in range(ROWS)],
    "another word": [f"{i}kg" if i else "unknown" for i in range(ROWS)],
    "two sizes": cycled("16GB", "32GB"),
}
DATES = {
    "ISO": [f"2021-03-{i % 28 + 1:02}" for i in range(ROWS)],
    "with a time": [f"2021-03-{i % 28 + 1:02}T10:{i:02}:00Z" for i in range(ROWS)],
    "days first": [f"{i % 28 + 1}.3.2021" for i in range(ROWS)],
    "months first": [f"3/{i % 28 + 1}/21" for i in range(ROWS)],
    "one unknown": [f"2021/3/{i % 28 + 1}" if i else "never" for i in range(ROWS)],
}


@pytest.mark.parametrize("case", [*UNITS, *DATES])
def test_numbers_with_a_unit_and_dates_are_refused_unless_they_are_declared(case, tmp_path):
    path = table(tmp_path / "t.csv", (UNITS | DATES)[case])
    what = "numbers with a unit" if case in UNITS else "dates"
    with pytest.raises(ValueError, match=rf"column 'x' holds {what}, such as .*declare"):
        read(path, Table("y"))
    assert list(read(path, Table("y", categorical=("x",)))[0]) == ["x"]


@pytest.mark.parametrize(
    "values",
    [
        ("A1", "B2", "C3"),
        ("2kg", "3g", "4t"),
        ("2kg", "3kg", "apples", "pears"),
        ("2021-03-04", "soon", "late"),
        ("1.2.3", "1.2.13"),
        ("5kg", ""),
        ("1st", "2nd", "3rd"),
        ("10-19", "20-29", "30+"),
        ("v1.2", "v1.3"),
        ("10:30", "11:45"),
        ("<5", ">=5"),
        ("EU", "US"),
        ("$", "€", "%"),
        ("-", "+"),
    ],
)
def test_names_with_digits_or_signs_are_categories(values, tmp_path):
    categories, _, _ = read(table(tmp_path / "t.csv", cycled(*values)), Table("y"))
    assert set(categories["x"].dropna()) == {value for value in values if value}


@pytest.mark.parametrize(
    "values", [range(2**64, 2**64 + ROWS), range(-(2**63) - ROWS, -(2**63)), [10**30 + 1] * ROWS]
)
def test_integers_beyond_64_bits_are_refused_as_numbers_and_kept_as_names(values, tmp_path):
    path = table(tmp_path / "t.csv", values)
    with pytest.raises(ValueError, match=r"column 'x' has integers beyond 64 bits.*categorical"):
        read(path, Table("y"))
    categories = read(path, Table("y", categorical=("x",)))[0]
    assert [set(column) for _, column in categories.items()] in ([], [set(map(str, values))])


def test_classes_that_differ_beyond_64_bits_stay_apart(tmp_path):
    classes = cycled(2**64, 2**64 + 1)
    labels = read(table(tmp_path / "t.csv", NUMBERS, classes), Table("y"))[2]
    assert labels.tolist() == cycled(0, 1)


@pytest.mark.parametrize("value", ["1e200", "-1e308", "1e151"])
def test_values_whose_squares_overflow_are_refused(value, tmp_path):
    path = table(tmp_path / "t.csv", [*NUMBERS[1:], value])
    with pytest.raises(ValueError, match="column 'x' has values beyond"):
        read(path, Table("y"))


def test_a_column_that_leaves_float32_after_scaling_is_refused(tmp_path):
    path = table(tmp_path / "t.csv", [1e-60 * (1 + i) for i in range(ROWS - 1)] + [1e60])
    outcomes = set()
    for seed in range(20):
        try:
            dataset = split("t", path, Table("y"), seed)
        except ValueError as error:
            assert "column 'x' has values that no float32" in str(error)  # noqa: PT017
            outcomes.add("refused")
        else:
            for part in (dataset.train, dataset.validation, dataset.tests["test"]):
                assert np.isfinite(part.inputs).all()
            outcomes.add("read")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_an_exported_index_is_refused_until_it_is_dropped(name, tmp_path):
    path = table(tmp_path / "t.csv", range(ROWS), name=name)
    with pytest.raises(ValueError, match=r"index.*dropped"):
        read(path, Table("y"))
    assert list(read(path, Table("y", dropped=(name,)))[1]) == ["z"]


@pytest.mark.parametrize("words", [("NA", "EU"), ("None", "Some"), ("null", "nan", "N/A", "x")])
def test_words_for_missing_are_values_among_text(words, tmp_path):
    path = table(tmp_path / "t.csv", cycled(*words), cycled(*words))
    categories, _, labels = read(path, Table("y"))
    assert set(categories["x"]) == set(words)
    assert sorted(words).index(words[0]) == labels[0]
    assert len(set(labels)) == len(words)


@pytest.mark.parametrize("word", ["NA", "NaN", "null", "None", "n/a", "?", "", " ", "#N/A", " NA "])
def test_and_missing_among_numbers(word, tmp_path):
    column = [word if i % 4 == 0 else repr(v / 3) for i, v in enumerate(NUMBERS)]
    numbers = read(table(tmp_path / "t.csv", column), Table("y"))[1]
    assert numbers["x"].isna().tolist() == [i % 4 == 0 for i in range(ROWS)]
    plain = read(table(tmp_path / "p.csv", [v / 3 for v in NUMBERS]), Table("y"))[1]
    assert (numbers["x"].dropna() == plain["x"][numbers["x"].notna()]).all(), "to the last bit"
    with pytest.raises(ValueError, match="rows have no value in the target"):
        read(table(tmp_path / "t.csv", NUMBERS, [word, *cycled(0, 1)[1:]]), Table("y"))


def test_spaces_around_values_names_and_classes_count_for_nothing(tmp_path):
    path = table(
        tmp_path / "t.csv", cycled("a", "a ", " a", "B"), cycled("u", " u ", "v"), name="x "
    )
    categories, _, labels = read(path, Table("y"))
    assert set(categories["x"]) == {"a", "B"}
    assert set(labels) == {0, 1}
    assert set(read(path, Table("y", categorical=("x",)))[0]["x"]) == {"a", "B"}


@pytest.mark.parametrize("blank", ["\n", "\n\n", "   \n", "\r\n"])
def test_leading_blank_lines_are_skipped(blank, tmp_path):
    path = table(tmp_path / "t.csv", NUMBERS)
    expected = read(path, Table("y"))
    path.write_text(blank + path.read_text())
    found = read(path, Table("y"))
    pd.testing.assert_frame_equal(found[1], expected[1])
    path.write_text("\ufeff" + path.read_text().lstrip())
    pd.testing.assert_frame_equal(read(path, Table("y"))[1], expected[1])


@pytest.mark.parametrize("place", [1, 5, ROWS])
def test_a_short_row_is_refused_with_its_line(place, tmp_path):
    path = table(tmp_path / "t.csv", NUMBERS)
    lines = path.read_text().splitlines()
    lines[place] = lines[place].rsplit(",", 1)[0]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"t\.csv: line {place + 1} has 2 cells where 3"):
        read(path, Table("y"))


def test_an_empty_last_cell_is_no_short_row(tmp_path):
    rows = "\n".join(f"{i % 2},{'' if i % 5 else i}" for i in range(ROWS))
    path = tmp_path / "t.csv"
    path.write_text(f"y,x\n{rows}\n")
    assert read(path, Table("y"))[1]["x"].isna().sum() == 32


@pytest.mark.parametrize("suffix", ["gz", "zip", "bz2", "xz"])
def test_packed_files_are_read_and_damaged_ones_named(suffix, tmp_path):
    plain = table(tmp_path / "t.csv", NUMBERS)
    path = tmp_path / f"t.csv.{suffix}"
    pd.read_csv(plain).to_csv(path, index=False)
    pd.testing.assert_frame_equal(read(path, Table("y"))[1], read(plain, Table("y"))[1])
    whole = path.read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=rf"t\.csv\.{suffix}: .*again") as caught:
            read(path, Table("y"))
        assert len(str(caught.value).splitlines()) == 1


def test_an_archive_of_several_files_is_refused(tmp_path):
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x,y\n")
        archive.writestr("b.csv", "x,y\n")
    with pytest.raises(ValueError, match=r"t\.zip: 2 files in the archive"):
        read(path, Table("y"))


def test_a_damaged_gzip_in_the_middle_is_named(tmp_path):
    text = table(tmp_path / "t.csv", NUMBERS).read_bytes() * 1
    path = tmp_path / "t.gz"
    packed = bytearray(gzip.compress(text))
    packed[len(packed) // 2] ^= 255
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=r"t\.gz: "):
        read(path, Table("y"))


def test_mat_files_that_are_cut_or_hold_something_else(tmp_path):
    path = tmp_path / "t.mat"
    x, y = np.random.default_rng(0).normal(size=(ROWS, 5)), np.arange(ROWS)[:, None] % 2
    savemat(path, {"X": x, "y": y}, do_compression=True)
    whole = path.read_bytes()
    for end in range(1, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"t\.mat: not a MATLAB 5 file.*again") as caught:
            read(path, Table("y"))
        assert len(str(caught.value).splitlines()) == 1
    for wrong in ({"X": x, "y": y[:-1]}, {"X": np.array([["a"]]), "y": y}, {"X": x[0, 0], "y": y}):
        savemat(path, wrong)
        with pytest.raises(ValueError, match=r"t\.mat: not a MATLAB 5 file"):
            read(path, Table("y"))


def arff(path, kinds, rows, before="", data="@data"):
    declared = "\n".join(f"@attribute {kind}" for kind in kinds)
    lines = "\n".join(rows)
    path.write_bytes(f"{before}@relation r\n{declared}\n{data}\n{lines}\n".encode("latin-1"))
    return path


def rows_of(*values):
    return [f"{i % 2},{i},{values[i % len(values)]}" for i in range(ROWS)]


PLAIN = ("class {0,1}", "V1 numeric", "V2 {a,b}")
CLASS = Table("class")


@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        (PLAIN, {"before": "% café\n"}),
        (PLAIN, {"before": "\n  % indented @attribute V9 numeric\n"}),
        (("class {0,1} % the target", "V1 numeric % a number", "V2 {a, b} % one of {a, b}"), {}),
        (("class{0,1}", "  V1   REAL ", "\tV2\t{ a , b }"), {}),
        (("'class' {0,1}", '"V1" integer', "V2 {'a',b}"), {}),
        (("class {0,1}", "V1 real [0, 40]", "V2 string"), {}),
        (PLAIN, {"data": "  @DATA  % from here\n% and a comment\n\n"}),
    ],
)
def test_arff_declarations_in_their_forms(kinds, options, tmp_path):
    path = arff(tmp_path / "t.arff", kinds, rows_of("a", "b", "?"), **options)
    path.write_bytes(path.read_bytes().replace(b"\n@attribute V1", b"\n   @ATTRIBUTE V1"))
    categories, numbers, labels = read(path, CLASS)
    assert categories["V2"].dropna().tolist() == [v for v in cycled("a", "b", None) if v]
    assert numbers["V1"].tolist() == list(range(ROWS))
    assert labels.tolist() == cycled(0, 1)


@pytest.mark.parametrize(
    ("declared", "written", "value"),
    [
        ("{NA,b}", "NA", "NA"),
        ("{None,b}", "None", "None"),
        ("{10%,b}", "10%", "10%"),
        ("{'a, b',b}", "'a, b'", "a, b"),
        ("{'10 %',b}", "'10 %'", "10 %"),
        (r"{'it\'s',b}", r"'it\'s'", "it's"),
        ('{"a, b",b}', '"a, b"', "a, b"),
        ("{1,b}", " 1 ", "1"),
    ],
)
def test_nominal_values_are_kept_as_they_are_declared(declared, written, value, tmp_path):
    kinds = (*PLAIN[:2], f"V2 {declared}")
    categories, _, _ = read(arff(tmp_path / "t.arff", kinds, rows_of(written, "b")), CLASS)
    assert categories["V2"].tolist() == cycled(value, "b")


@pytest.mark.parametrize(
    ("kinds", "rows", "message"),
    [
        (PLAIN, [f"{{0 {i % 2}, 1 {i}, 2 a}}" for i in range(ROWS)], "line 6 is a sparse row"),
        (PLAIN, [*rows_of("a"), "{0 1}"], "line 46 is a sparse row"),
        (PLAIN, rows_of("a", "c"), "'V2' has values that its declaration.*'c'"),
        (PLAIN, rows_of("a", "b % note"), "'V2' has values that its declaration.*'b % note'"),
        (PLAIN, [r.replace(",3,", ",three,") for r in rows_of("a", "b")], "'V1' mixes numbers"),
        (PLAIN, [f"{i % 2},red,a" for i in range(ROWS)], "'V1' has values that its decl.*'red'"),
        (PLAIN, [*rows_of("a", "b"), "0,1"], "line 46 has 2 cells where 3 are expected"),
        (PLAIN, rows_of("a", "é"), "line 7 is not in UTF-8"),
        (("class {0,1}", "V1", "V2 {a,b}"), rows_of("a", "b"), "line 3 declares no attribute"),
        (("class {0,1}", 'V1 date "yyyy"', "V2 {a,b}"), rows_of("a"), "line 3 declares no attrib"),
        (("class {0,1}", "V1 relational", "V2 {a,b}"), rows_of("a"), "line 3 declares no attrib"),
        (("class {0,1}", "V1 numeric", "V1 {a,b}"), rows_of("a"), "'V1' occurs more than once"),
        (PLAIN, [], "the file has no rows"),
    ],
)
def test_arff_files_that_are_refused(kinds, rows, message, tmp_path):
    path = arff(tmp_path / "t.arff", kinds, rows)
    with pytest.raises(ValueError, match=message) as caught:
        read(path, CLASS)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_separator_in_quotes_and_a_number_in_quotes(tmp_path):
    text = io.StringIO()
    frame = pd.DataFrame({"x": cycled("a, b", "c"), "n": NUMBERS, "y": cycled(0, 1)})
    frame.to_csv(text, index=False, quoting=1)
    path = tmp_path / "t.csv"
    path.write_text(text.getvalue())
    categories, numbers, _ = read(path, Table("y"))
    assert categories["x"].tolist() == cycled("a, b", "c")
    assert numbers["n"].tolist() == NUMBERS


def swollen(path):
    """A file of a few kilobytes that unpacks to more than 2 MiB."""
    text = b"x,y\n" + b"1,0\n2,1\n" * 2**18
    match path.suffix:
        case ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("t.csv", text)
        case ".mat":
            x = np.zeros((2**18, 1))
            savemat(path, {"X": x, "y": x}, do_compression=True)
        case suffix:
            path.write_bytes({".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix].compress(text))
    return path


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.zip", "t.mat"])
def test_a_small_file_that_unpacks_to_very_much_is_not_unpacked(name, tmp_path, monkeypatch):
    path = swollen(tmp_path / name)
    assert path.stat().st_size < 2**14
    monkeypatch.setattr(limits, "SMALL", 2**21)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"unpacks to more than 2,097,152 bytes.*_LIMIT") as caught:
        read(path, Table("y"))
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    monkeypatch.setenv("SAFLEX_DATA_LIMIT", "1000")
    with pytest.raises(ValueError, match="more than 1,000 bytes"):
        read(path, Table("y"))
    monkeypatch.setenv("SAFLEX_DATA_LIMIT", "1e3")
    with pytest.raises(SystemExit, match=r"SAFLEX_DATA_LIMIT: a number of bytes >= 1 .* '1e3'"):
        read(path, Table("y"))
