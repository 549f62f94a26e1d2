"""Tables: types, splits, statistics fitted on the training split alone, and every error."""

import gzip
import hashlib
import os
import zipfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy.io import savemat
from sklearn.datasets import load_breast_cancer, load_wine

from replication import data
from replication.data import tabular
from replication.data.sources import PACKAGED, SOURCES
from replication.settings.datasets import CSV, MedMNIST, Table

MIRROR = os.environ.get("SAFLEX_DATA_MIRROR")
PUBLISHED_TABLE = Table(kind="table")


def load_csv(path, target, separator=",", categorical=(), dropped=(), seed=0):
    source = CSV(
        kind="csv",
        file=path.name,
        target=target,
        separator=separator,
        categorical=list(categorical),
        dropped=list(dropped),
    )
    return tabular.load("mine", source, path.parent, seed)


def load(name, folder, seed=0):
    return tabular.load(name, PUBLISHED_TABLE, folder, seed)


def statistics(name, folder):
    return tabular.statistics(name, PUBLISHED_TABLE, folder)


def splits(dataset):
    return dataset.train, dataset.validation, dataset.tests["test"]


def churn(rows=400, seed=0):
    """A mixed table with missing cells, whose `identity` names each row."""
    draws = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "identity": np.arange(rows),
            "age": draws.normal(40, 10, rows).round(1),
            "country": draws.choice(["France", "Spain", "Malta"], rows, p=[0.5, 0.48, 0.02]),
            "plan": draws.choice([10, 20, 30], rows),
            "constant": 7,
            "left": draws.choice(["no", "yes"], rows, p=[0.8, 0.2]),
        }
    )
    frame.loc[draws.choice(rows, 40, replace=False), "age"] = np.nan
    frame.loc[draws.choice(rows, 40, replace=False), "country"] = None
    return frame


def written(frame, path, **options):
    frame.to_csv(path, index=False, **options)
    return path


def test_split_is_stratified_seeded_and_a_partition(tmp_path):
    path = written(churn(), tmp_path / "churn.csv")
    dataset = load_csv(path, "left", dropped=("age", "country", "plan"))
    assert dataset.name == "mine"
    assert [len(split) for split in splits(dataset)] == [260, 60, 80]
    share = (churn()["left"] == "yes").mean()
    for split in splits(dataset):
        assert abs(split.labels.mean() - share) < 0.01
        assert split.inputs.dtype == np.float32
        assert split.labels.dtype == np.int64
    identities = np.concatenate([split.inputs[:, 0] for split in splits(dataset)])
    assert len(np.unique(identities)) == 400

    again, other = (
        load_csv(path, "left", dropped=("age", "country", "plan"), seed=seed) for seed in (0, 1)
    )
    assert np.array_equal(again.train.inputs, dataset.train.inputs)
    assert not np.array_equal(other.train.inputs, dataset.train.inputs)


def test_inputs_equal_those_computed_by_hand_from_the_training_rows(tmp_path):
    frame = churn()
    path = written(frame, tmp_path / "churn.csv")
    dataset = load_csv(path, "left", categorical=("plan",))
    whole = np.concatenate([split.inputs for split in splits(dataset)])
    assert whole.shape == (400, 4), "categories country, plan; numbers identity, age"

    step = np.diff(np.sort(whole[:, 2])).mean()
    row = np.rint((whole[:, 2] - whole[:, 2].min()) / step).astype(int)
    assert sorted(row) == list(range(400))
    train = frame.iloc[row[: len(dataset.train)]]
    known = [c for c in ("France", "Malta", "Spain") if (train["country"] == c).sum() > 1]
    assert dataset.cardinalities == (len(known) + 1, 4)
    mean = train["age"].mean()
    deviation = np.sqrt(((train["age"].fillna(mean) - mean) ** 2).mean())
    for computed, source in zip(whole, frame.iloc[row].itertuples(), strict=True):
        country = known.index(source.country) + 1 if source.country in known else 0
        assert computed[0] == country
        assert computed[1] == source.plan / 10
        expected = 0 if np.isnan(source.age) else (source.age - mean) / deviation
        assert computed[3] == pytest.approx(expected, abs=1e-5)
    labels = np.concatenate([split.labels for split in splits(dataset)])
    assert np.array_equal(labels, (frame["left"].iloc[row] == "yes").astype(int))


def test_a_category_that_training_has_once_is_unknown(tmp_path):
    frame = churn()
    frame["surname"] = [f"name {i}" if i % 2 else "Smith" for i in range(400)]
    dataset = load_csv(written(frame, tmp_path / "churn.csv"), "left", dropped=("country",))
    assert dataset.cardinalities == (2,)
    for split in splits(dataset):
        assert set(split.inputs[:, 0]) == {0, 1}
        assert abs(split.inputs[:, 0].mean() - 0.5) < 0.2


def test_test_rows_do_not_move_the_training_inputs(tmp_path):
    frame = churn()
    kept = load_csv(written(frame, tmp_path / "a.csv"), "left")
    number = kept.tests["test"].inputs[0, 1]
    all_numbers = np.sort(np.concatenate([split.inputs[:, 1] for split in splits(kept)]))
    row = int(np.searchsorted(all_numbers, number))
    frame.loc[row, ["age", "country"]] = [1e6, "Iceland"]
    moved = load_csv(written(frame, tmp_path / "b.csv"), "left")
    assert np.array_equal(kept.train.inputs, moved.train.inputs)
    assert moved.cardinalities == kept.cardinalities
    assert moved.tests["test"].inputs[0, 0] == 0, "an unseen category has code 0"
    assert moved.tests["test"].inputs[0].max() > 1e3


def test_a_number_constant_in_the_training_split_is_zero(tmp_path):
    frame = churn()
    frame["rare"] = 0.1
    base = load_csv(written(frame, tmp_path / "a.csv"), "left")
    identity = 1
    numbers = np.sort(np.concatenate([split.inputs[:, identity] for split in splits(base)]))
    row = int(np.searchsorted(numbers, base.tests["test"].inputs[0, identity]))
    frame.loc[row, "rare"] = 1e9
    dataset = load_csv(written(frame, tmp_path / "b.csv"), "left")
    assert dataset.train.inputs.shape[1] == base.train.inputs.shape[1] + 1
    for split in splits(dataset):
        assert np.isfinite(split.inputs).all()
        assert (split.inputs[:, -1] == 0).all()


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(30, 80),
    missing=st.floats(0, 0.9),
    scale=st.floats(1e-6, 1e6),
    classes=st.integers(2, 4),
    seed=st.integers(0, 1000),
)
def test_invariants(tmp_path_factory, rows, missing, scale, classes, seed):
    draws = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "number": draws.normal(5, 1, rows) * scale,
            "word": draws.choice(list("abcdefgh"), rows),
            "code": draws.integers(0, 9, rows),
            "target": np.arange(rows) % classes,
        }
    )
    frame["number"] = frame["number"].mask(draws.random(rows) < missing)
    frame["word"] = frame["word"].mask(draws.random(rows) < missing)
    path = written(frame, tmp_path_factory.mktemp("table") / "table.csv")
    dataset = load_csv(path, "target", categorical=("code",), seed=seed)
    assert dataset.classes == classes
    codes = len(dataset.cardinalities)
    for split in splits(dataset):
        assert np.isfinite(split.inputs).all()
        assert set(split.labels) == set(range(classes))
        assert (split.inputs[:, :codes] >= 0).all()
        assert (split.inputs[:, :codes] < dataset.cardinalities).all()
        assert np.array_equal(split.inputs[:, :codes], split.inputs[:, :codes].round())
    for column in dataset.train.inputs[:, codes:].T:
        assert abs(column.mean()) < 1e-4
        assert column.std() == pytest.approx(1, abs=1e-4) or (column == 0).all()


@pytest.mark.parametrize(
    ("name", "source"), [("breast_cancer", load_breast_cancer), ("wine", load_wine)]
)
def test_embedded_sets_are_those_of_scikit_learn(name, source):
    frame = pd.read_csv(PACKAGED / name / f"{name}.csv")
    assert frame.columns[-1] == "target"
    assert np.array_equal(frame.to_numpy(), source(as_frame=True).frame.to_numpy())
    dataset = load_csv(PACKAGED / name / f"{name}.csv", "target")
    assert dataset.classes == len(source().target_names)
    assert dataset.cardinalities == ()
    assert dataset.train.inputs.shape[1] == frame.shape[1] - 1


def test_statistics_follow_the_settings_of_a_data_set():
    source = CSV(kind="csv", file="wine.csv", target="target", categorical=["alcohol"])
    row = data.statistics("wine", source, PACKAGED)
    assert (row["classes"], row["rows"], row["categorical"], row["continuous"]) == (3, 178, 1, 12)
    assert row["positives"] is None
    assert data.statistics("x", MedMNIST(kind="medmnist"), PACKAGED) is None


def arff(path, columns, rows, relation="a table"):
    attributes = "".join(f"@attribute {name} {kind}\n" for name, kind in columns.items())
    lines = "\n".join(",".join(map(str, row)) for row in rows)
    path.write_text(f"% comment\n@relation '{relation}'\n\n{attributes}\n@data\n{lines}\n")
    return path


def credit_rows(rows=300):
    draws = np.random.default_rng(0)
    numbers = draws.normal(size=(rows, 30)).round(4)
    return np.column_stack([numbers, np.arange(rows) % 10 == 0])


def test_credit_with_its_classes_quoted_or_not(tmp_path):
    names = ["Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"]
    rows = credit_rows()
    nominal = [[*row[:-1], f"'{int(row[-1])}'"] for row in rows]
    kinds = dict.fromkeys(names, "REAL") | {"Class": "{'0','1'}"}
    folders = [tmp_path / name for name in ("quoted", "plain", "double")]
    for folder, rows in zip(folders, (nominal, credit_rows(), nominal), strict=True):
        folder.mkdir()
        arff(folder / "creditcard.arff", kinds, [[*row[:-1], _class(row[-1])] for row in rows])
    double = folders[2] / "creditcard.arff"
    double.write_text(double.read_text().replace("'", '"'))
    expected = {"classes": 2, "features": 29, "categorical": 0, "continuous": 29, "rows": 300}
    expected |= {"positives": 30, "negatives": 270, "percent": 10.0}
    for folder in folders:
        assert statistics("credit", folder) == expected
        first, second = load("credit", folder), load("credit", folders[0])
        assert np.array_equal(first.train.inputs, second.train.inputs)
        assert np.array_equal(first.tests["test"].labels, second.tests["test"].labels)


def _class(value):
    return value if isinstance(value, str) else int(value)


def test_volkert_as_arff_drops_constant_columns(tmp_path):
    draws = np.random.default_rng(0)
    numbers = draws.normal(size=(400, 180)).round(3)
    numbers[:, 10:43] = 0
    kinds = {"class": "{0,1,2,3,4,5,6,7,8,9}"} | {f"V{i}": "numeric" for i in range(1, 181)}
    rows = [[row % 10, *numbers[row]] for row in range(400)]
    path = arff(tmp_path / "volkert.arff", kinds, rows)
    row = statistics("volkert", path.parent)
    assert (row["features"], row["categorical"], row["rows"]) == (147, 0, 400)
    assert row["positives"] is row["negatives"] is row["percent"] is None
    dataset = load("volkert", tmp_path)
    assert dataset.classes == 10
    assert np.array_equal(np.bincount(dataset.tests["test"].labels), [8] * 10)


def test_nominal_attributes_of_an_arff_are_categories(tmp_path):
    kinds = {"class": "{1,2}", "V1": "{7,8,'none of these'}", "V2": "numeric"}
    rows = [[1 + i % 2, ["7", "8", "'none of these'", "?"][i % 4], i] for i in range(60)]
    arff(tmp_path / "volkert.arff", kinds, rows)
    dataset = load("volkert", tmp_path)
    assert dataset.cardinalities == (4,)
    assert set(dataset.train.inputs[:, 0]) == {0, 1, 2, 3}


def test_kdd_cup_1999_layout(tmp_path):
    draws = np.random.default_rng(0)
    lines = []
    for i in range(200):
        numbers = draws.integers(0, 50, 38)
        numbers[16] = numbers[17] = 0
        words = ("tcp" if i % 3 else "udp", "http" if i % 2 else "smtp", "SF" if i % 5 else "REJ")
        label = "normal." if i % 4 == 0 else ("smurf." if i % 4 == 1 else "neptune.")
        lines.append(",".join(map(str, (numbers[0], *words, *numbers[1:], label))))
    path = tmp_path / "kddcup.data_10_percent.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert statistics("appetency-kdd99", tmp_path) == {
        "classes": 2,
        "features": 39,
        "categorical": 3,
        "continuous": 36,
        "rows": 200,
        "positives": 50,
        "negatives": 150,
        "percent": 25.0,
    }
    assert load("appetency-kdd99", tmp_path).cardinalities == (3, 3, 3)


def test_kdd_cup_2009_layout(tmp_path):
    draws = np.random.default_rng(0)
    frame = pd.DataFrame({f"Var{i}": draws.normal(size=200) for i in range(1, 231)})
    for i in range(191, 231):
        frame[f"Var{i}"] = draws.choice(["r__I", "1E5", None], 200)
    frame["Var8"] = np.nan
    data = frame.to_csv(sep="\t", index=False)
    path = tmp_path / "orange_small_train.data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("orange_small_train.data", data)
    labels = tmp_path / "orange_small_train_appetency.labels"
    labels.write_text("\n".join(["1" if i % 10 == 0 else "-1" for i in range(200)]) + "\n")
    row = statistics("appetency-kdd09", tmp_path)
    assert (row["features"], row["categorical"], row["positives"]) == (229, 40, 20)
    assert load("appetency-kdd09", tmp_path).cardinalities == (3,) * 40
    labels.write_text("1\n-1\n")
    with pytest.raises(ValueError, match="200 rows, but 2 labels"):
        load("appetency-kdd09", tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"orange_small_train_appetency.labels: no such"):
        load("appetency-kdd09", tmp_path)


def test_a_file_is_read_once_for_all_seeds_until_it_changes(tmp_path, monkeypatch):
    reads, read_csv = [], pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: reads.append(a) or read_csv(*a, **k))
    path = written(churn(), tmp_path / "churn.csv")
    first, second = (load_csv(path, "left", seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.train.inputs, second.train.inputs)
    once = len(reads)
    written(churn(rows=300), path)
    os.utime(path, ns=(0, 0))
    assert len(load_csv(path, "left").train) == 195
    assert len(reads) == 2 * once


def test_arrhythmia_drops_column_18_and_what_hardly_varies(tmp_path):
    values = np.random.default_rng(0).normal(size=(60, 30))
    values[:, 3] = 0
    values[:, 4] *= 0.05 / values[:, 4].std(ddof=1)
    values[:, 5] *= 0.09 / values[:, 5].std(ddof=1)
    path = tmp_path / "arrhythmia.mat"
    savemat(path, {"X": values, "y": (np.arange(60) % 5 == 0)[:, None].astype(np.uint8)})
    assert statistics("arrhythmia", tmp_path)["features"] == 30 - 3
    assert statistics("arrhythmia", tmp_path)["positives"] == 12


def test_missing_is_not_a_reason_to_keep_a_number_but_is_for_a_category(tmp_path):
    frame = churn()
    frame["maybe"] = np.where(frame["plan"] == 10, 3.0, np.nan)
    frame["word"] = np.where(frame["plan"] == 10, "x", None)
    dataset = load_csv(written(frame, tmp_path / "a.csv"), "left", dropped=("country",))
    assert dataset.cardinalities == (2,)
    assert dataset.train.inputs.shape[1] == 1 + 3


BROKEN = {
    "empty": ("", {}, "the file is empty"),
    "header only": ("a,b,target\n", {}, "the file has no rows"),
    "one class": ("a,b,target\n1,2,0\n2,3,0\n", {}, "'target' has one class"),
    "missing target": ("a,b,t\n1,2,0\n2,3,1\n", {}, "there is no column 'target'; there are a, b"),
    "missing category": ("a,target\n1,0\n2,1\n", {"categorical": ["b"]}, "no column 'b'"),
    "missing dropped": ("a,target\n1,0\n2,1\n", {"dropped": ["b"]}, "no column 'b'"),
    "duplicate": ("a,b,a,target\n1,2,3,0\n", {}, "column 'a' occurs more than once"),
    "separator": ("a;b;target\n1;2;0\n2;3;1\n", {}, "only one column.*separator"),
    "ragged": ("a;b;target,x\n1;2;0\n1,2,3;0\n", {}, "name the separator"),
    "long rows": ("a,target\n1,0,5\n2,1,5\n", {}, "rows of 3 cells under 2 names"),
    "infinity": ("a,b,target\n1,inf,0\n2,3,1\n", {}, "column 'b' holds infinities"),
    "mixed": ("a,b,target\n1,2,0\n2,none of it,1\n", {}, "'b' mixes numbers with text.*'none of"),
    "no label": ("a,b,target\n1,2,0\n2,3,\n3,4,1\n", {}, "1 rows have no value.*'target'"),
    "constant": ("a,b,target\n1,2,0\n1,2,1\n", {}, "no column varies"),
    "rare class": ("a,target\n" + "1,0\n2,0\n" * 20 + "3,1\n", {}, "class.*'target'.*merge"),
    "not UTF-8": ("a,target\n\udce9,0\nb,1\n", {}, "UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_name_file_column_and_remedy(case, tmp_path):
    text, options, message = BROKEN[case]
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message) as raised:
        load_csv(path, "target", **options)
    assert str(path) in str(raised.value)


def test_mixed_columns_may_be_declared_categorical(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("a,b,target\n" + "1,007,0\n2,x,1\n3,7,0\n4,x,1\n" * 10)
    assert load_csv(path, "target", categorical=("b",)).cardinalities == (4,)


def test_a_target_without_the_positive_class(tmp_path):
    path = written(churn().assign(Exited=[2, 3] * 200), tmp_path / "Churn_Modelling.csv")
    frame = pd.read_csv(path).assign(RowNumber=0, CustomerId=0, Surname="x", Geography="y")
    written(frame.assign(Gender="z"), path)
    with pytest.raises(ValueError, match=r"'Exited' has one class \(either all or none are 1\)"):
        load("shrutime", tmp_path)


def test_unknown_names_and_unreadable_files(tmp_path):
    with pytest.raises(ValueError, match=r"datasets\.adult: no table is called so; there are app"):
        load("adult", tmp_path)
    path = tmp_path / "volkert.arff"
    path.write_text("@relation x\n@attribute V1 real\n@attribute class {0,1}\n@data\n")
    with pytest.raises(ValueError, match=r"volkert\.arff: the file has no rows"):
        load("volkert", tmp_path)
    path.write_text("@relation x\n@attribute class {0,1}\n@data\n0,1\n1,1\n")
    with pytest.raises(ValueError, match="rows of 2 cells under 1 names"):
        load("volkert", tmp_path)
    path = tmp_path / "arrhythmia.mat"
    savemat(path, {"X": np.eye(3)})
    with pytest.raises(ValueError, match=r"arrhythmia\.mat: not a MATLAB 5 file.*'y'"):
        load("arrhythmia", tmp_path)
    path.write_text("<html>not found</html>" * 20)
    with pytest.raises(ValueError, match=r"arrhythmia\.mat: not a MATLAB 5 file"):
        load("arrhythmia", tmp_path)


# Table 5 of the paper; its Click counts 12 = 7 + 5 columns, the target among them.
PUBLISHED = {
    "appetency-kdd99": (39, 3, 36, 494021, 97278, 396743, 19.69),
    "arrhythmia": (226, 0, 226, 452, 66, 386, 14.60),
    "click": (11, 7, 4, 39948, 6728, 33220, 16.84),
    "qsar": (41, 0, 41, 1055, 356, 699, 33.74),
    "shrutime": (11, 3, 8, 10000, 2037, 7963, 20.37),
}


@pytest.mark.skipif(not MIRROR, reason="SAFLEX_DATA_MIRROR is not set")
@pytest.mark.parametrize("name", PUBLISHED)
def test_statistics_of_the_real_files(name):
    (source,) = SOURCES[name]
    found = next(Path(MIRROR).rglob(source.file), None)
    if found is None:
        pytest.skip(f"{source.file} is not in the mirror")
    assert hashlib.md5(found.read_bytes()).hexdigest() == source.md5
    row = statistics(name, found.parent)
    assert (*list(row.values())[1:-1], round(row["percent"], 2)) == PUBLISHED[name]
