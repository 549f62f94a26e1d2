"""A cell's identity, where its file lies, and what is in it: the same for writer and reader."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from replication import cells
from replication.cells import Cell, CellFile, Data, Method, Provenance, Score, Seed

CELL = Cell(
    experiment="images",
    dataset="digits",
    model="resnet18",
    upstream="mixup",
    refiner="paper",
    batch="clean-augmented",
)
names = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=8)
shares = st.floats(0, 1)
metrics = st.sampled_from(["accuracy", "auroc", "average_precision", "loss"])
values = st.none() | st.booleans() | st.integers(-9, 9) | names | st.floats(-9, 9)


@st.composite
def files(draw) -> CellFile:
    tests = draw(st.dictionaries(names, st.integers(1, 99), min_size=1, max_size=3))
    metric, numbers = draw(metrics), draw(st.sets(st.integers(0, 99), min_size=1, max_size=4))
    others = st.builds(
        Score,
        split=st.sampled_from([*tests]),
        weights=st.just("ensembled"),
        metric=metrics,
        value=shares,
    )
    first = next(iter(tests))
    seeds = [
        Seed(
            seed=number,
            epoch=draw(st.none() | st.integers(0, 99)),
            scores=[
                Score(split=first, weights="final", metric=metric, value=draw(shares)),
                *draw(st.lists(others, max_size=3)),
            ],
            refiner=draw(st.dictionaries(names, st.none() | st.floats(-9, 9), max_size=3)),
        )
        for number in sorted(numbers)
    ]
    return CellFile(
        cell=draw(
            st.builds(
                Cell,
                **{key: names for key in Method.model_fields},
                batch=st.sampled_from(["clean", "augmented", "clean-augmented"]),
            )
        ),
        settings=draw(st.dictionaries(names, values | st.lists(values, max_size=3), max_size=3)),
        data=Data(
            files=draw(st.dictionaries(names, names, max_size=2)),
            train=draw(st.integers(1, 99)),
            validation=draw(st.integers(0, 99)),
            tests=tests,
            split_per_seed=draw(st.booleans()),
        ),
        metric=metric,
        seeds=seeds,
    )


@settings(max_examples=60, deadline=None)
@given(files())
def test_what_is_written_is_read(tmp_path_factory, file):
    path = tmp_path_factory.mktemp("cells") / "cell.json"
    cells.write(path, file)
    assert cells.read(CellFile, path) == file
    assert cells.read(CellFile, path).split == file.split
    before = path.read_bytes()
    cells.write(path, cells.read(CellFile, path))
    assert path.read_bytes() == before


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[names] * 5, st.sampled_from(["clean", "augmented"])), max_size=6))
def test_two_cells_have_two_files(fields):
    every = {Cell(**dict(zip((*Method.model_fields, "batch"), f, strict=True))) for f in fields}
    assert len({cell.result("quick") for cell in every}) == len(every)
    assert len({cell.provenance("quick") for cell in every}) == len(every)
    assert len({cell.key for cell in every}) == len(every)


def test_a_cell_says_where_its_files_are():
    inside = "images/digits/resnet18/mixup/paper/clean-augmented.json"
    assert CELL.result("quick") == Path("results/quick/cells") / inside
    assert CELL.provenance("quick") == Path("results/quick/provenance") / inside
    assert CELL.method.folder(Path("x")) == Path("x") / inside.rpartition("/")[0]
    assert CELL.result("quick").is_relative_to(CELL.method.folder(Path("results/quick/cells")))
    assert cells.toy("quick") == Path("results/quick/cells/toy.json")


def test_an_identity_is_its_fields():
    other = CELL.model_copy(update={"batch": "augmented"})
    assert other != CELL
    assert other.method == CELL.method
    assert dict(zip(cells.KEYS, CELL.key, strict=True)) == CELL.model_dump()
    assert set(cells.SETTING) == set(cells.KEYS) - {"refiner"}
    assert str(CELL) == "images: digits, resnet18, mixup, paper, clean-augmented"
    with pytest.raises(ValidationError, match="frozen"):
        CELL.batch = "augmented"


CONTENT = {
    "cell": CELL.model_dump(),
    "settings": {},
    "data": {"files": {}, "train": 4, "validation": 2, "tests": {"id": 3, "ood": 1}},
    "metric": "accuracy",
    "seeds": [
        {
            "seed": 0,
            "scores": [{"split": "id", "weights": "final", "metric": "accuracy", "value": 0.5}],
        }
    ],
}


def changed(change) -> dict:
    content = json.loads(json.dumps(CONTENT))
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda c: c.pop("metric"), "metric: Field required"),
        (lambda c: c.update(extra=1), "extra: Extra inputs"),
        (lambda c: c["cell"].pop("model"), "cell.model: Field required"),
        (lambda c: c["cell"].update(family="images"), "cell.family: Extra inputs"),
        (lambda c: c["cell"].update(batch="both"), "cell.batch: .*'augmented'"),
        (lambda c: c["data"].update(tests={}), "data.tests: .*at least 1"),
        (lambda c: c.update(seeds=[]), "seeds: .*at least 1"),
        (lambda c: c["seeds"].append(c["seeds"][0]), "seeds: seed 0 appears twice"),
        (lambda c: c["seeds"][0].update(seed="x"), "seeds.0.seed: .*integer"),
        (lambda c: c["seeds"][0]["scores"][0].update(value=51.0), "seeds.0.scores.0: accuracy: 51"),
        (lambda c: c["seeds"][0]["scores"][0].update(value=-0.1), "accuracy: -0.1 is not between"),
        (lambda c: c["seeds"][0]["scores"][0].update(weights="best"), "seeds.0.scores.0.weights"),
        (lambda c: c["seeds"][0]["scores"][0].update(split="ood"), "accuracy of id is missing"),
        (lambda c: c["seeds"][0].update(scores=[]), "seeds.0.scores: accuracy of id is missing"),
        (lambda c: c.update(metric="auroc"), "auroc of id is missing, the cell's metric"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(tmp_path, change, part):
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(changed(change)))
    with pytest.raises(ValueError, match=part) as caught:
        cells.read(CellFile, path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00"])
def test_half_a_file_is_named(tmp_path, text):
    path = tmp_path / "cell.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"cell\.json: not valid JSON"):
        cells.read(CellFile, path)


def test_what_has_no_value_in_json_is_not_written(tmp_path):
    record = CellFile.model_validate(changed(lambda c: c["settings"].update(x=float("nan"))))
    with pytest.raises(ValueError, match="JSON"):
        cells.write(tmp_path / "cell.json", record)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_and_a_rounded_share_are_no_mistakes():
    for metric, value in (("loss", 7.5), ("average_precision", 1 + 1e-12)):
        assert Score(split="test", weights="final", metric=metric, value=value).value == value


def test_a_score_is_found_by_split_weights_and_metric():
    def score(split, weights, metric, value):
        return Score(split=split, weights=weights, metric=metric, value=value)

    seed = Seed(
        seed=0,
        scores=[
            score("id", "final", "accuracy", 0.1),
            score("ood", "final", "accuracy", 0.2),
            score("id", "ensembled", "accuracy", 0.3),
            score("id", "final", "auroc", 0.4),
        ],
    )
    assert seed.value("id", "final", "accuracy") == 0.1
    assert seed.value("ood", "final", "accuracy") == 0.2
    assert seed.value("id", "ensembled", "accuracy") == 0.3
    assert seed.value("id", "final", "auroc") == 0.4
    assert seed.value("ood", "ensembled", "accuracy") is None


def test_the_resampling_ratio_is_of_splits_that_a_seed_draws():
    data = {"files": {}, "train": 4, "validation": 2, "tests": {"test": 3, "ood": 1}}
    assert Data(**data, split_per_seed=True).resplit == 0.75
    assert Data(**data).resplit == 0


def test_a_cells_file_is_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cells.result(CELL, "quick") is None
    file = CellFile.model_validate(CONTENT)
    cells.write(CELL.result("quick"), file)
    assert cells.result(CELL, "quick") == file
    other = CELL.model_copy(update={"batch": "augmented"})
    cells.write(other.result("quick"), file)
    with pytest.raises(ValueError, match=r"augmented\.json: cell: .* augmented is expected"):
        cells.result(other, "quick")


def test_every_stored_file_is_found_and_no_unfinished_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = CELL.result("quick")
    cells.write(path, CellFile.model_validate(CONTENT))
    cells.write(CELL.provenance("quick"), Provenance())
    cells.write(cells.toy("quick"), Provenance())
    (path.parent / ".clean-augmented-x7.json").write_text("{")
    assert list(cells.stored("quick")) == [path]
