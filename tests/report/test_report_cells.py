"""Reading result files: what is expected, what is missing, what is refused."""

import copy
import json
import re

import numpy as np
import pytest
from made_cells import content, grid, name, populate, write

from replication.report.cells import KEYS, read_cells

CELL = name("digits", "resnet18-slim", "mixup", "augmented", "paper")
GOOD = content(CELL, [80.0, 81.5], kept=0.9)


def test_one_row_per_seed_and_metric(tmp_path):
    write(tmp_path, GOOD)
    cells = read_cells(tmp_path, [CELL])
    rows = cells.scores.set_index(["metric", "seed"])["value"]
    assert rows.to_dict() == {
        ("accuracy", 0): 0.8,
        ("accuracy", 1): 0.815,
        ("refiner.kept", 0): 0.9,
        ("refiner.kept", 1): 0.9,
    }
    assert (cells.scores[KEYS] == [CELL[key] for key in KEYS]).all(axis=None)
    assert cells.provenance[tuple(CELL[key] for key in KEYS)].device == "CPU, 2 cores"


def test_cells_without_a_file_stay_known(tmp_path):
    write(tmp_path, GOOD)
    other = {**CELL, "refiner": "permuted"}
    cells = read_cells(tmp_path, [other, CELL])
    assert cells.grid["run"].tolist() == [False, True]
    assert cells.grid["metric"].tolist() == ["accuracy", "accuracy"]
    assert cells.scores["refiner"].unique().tolist() == ["paper"]


def test_an_empty_folder_and_no_cell_at_all(tmp_path):
    assert not read_cells(tmp_path / "quick", [CELL]).grid["run"].any()
    assert read_cells(tmp_path / "quick", []).profile == "quick"


def test_files_of_other_cells_are_passed_over(tmp_path):
    populate(tmp_path, grid("digits", "resnet18-slim", ("mixup",)), seeds=2)
    assert len(read_cells(tmp_path, [CELL]).files) == 1


def test_null_and_nan_are_undefined(tmp_path):
    file = copy.deepcopy(GOOD)
    file["seeds"][0]["accuracy"] = None
    write(tmp_path, file)
    values = read_cells(tmp_path, [CELL]).scores.query("metric == 'accuracy'")["value"]
    assert np.isnan(values.iloc[0])
    assert values.iloc[1] == 0.815


def change(path, value):
    def changed(file):
        *parents, last = path
        for part in parents:
            file = file[part]
        if value is KeyError:
            del file[last]
        else:
            file[last] = value

    return changed


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        (change(["cell"], KeyError), "cell"),
        (change(["cell", "batch"], "dirty"), "cell.batch"),
        (change(["cell", "upstream"], KeyError), "cell.upstream"),
        (change(["metric"], KeyError), "metric"),
        (change(["metric"], "auroc"), "seeds.0.auroc"),
        (change(["seeds"], []), "seeds"),
        (change(["seeds", 1, "seed"], 0), "seeds: seed 0 appears twice"),
        (change(["seeds", 1, "seed"], KeyError), "seeds.1.seed"),
        (change(["seeds", 0, "accuracy"], "high"), "seeds.0.accuracy"),
        (change(["seeds", 0, "accuracy"], 81.5), "seeds.0.accuracy: 81.5 is not between"),
        (change(["seeds", 0, "refiner"], {"kept": "all"}), "seeds.0.refiner.kept"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(tmp_path, changed, key):
    file = copy.deepcopy(GOOD)
    changed(file)
    path = write(tmp_path, {"cell": CELL})
    path.write_text(json.dumps({"cells": {"augmented": file}}))
    with pytest.raises(ValueError, match=re.escape(f"{path}: cells.augmented.{key}")):
        read_cells(tmp_path, [CELL])


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "{}", '{"cells": [1]}'])
def test_what_is_not_a_json_object_is_named(tmp_path, text):
    path = write(tmp_path, GOOD)
    path.write_text(text)
    with pytest.raises(ValueError, match=path.name):
        read_cells(tmp_path, [CELL])


def test_malformed_provenance_is_named(tmp_path):
    path = tmp_path / "provenance" / write(tmp_path, GOOD).name
    path.write_text('{"seconds": "long"}')
    with pytest.raises(ValueError, match=rf"provenance.{path.name}: seconds"):
        read_cells(tmp_path, [CELL])


def test_two_files_of_one_cell_are_refused(tmp_path):
    path = write(tmp_path, GOOD)
    (path.parent / "copy.json").write_text(path.read_text())
    with pytest.raises(ValueError, match=r"copy\.json is the same cell"):
        read_cells(tmp_path, [CELL])


def test_a_data_set_has_one_metric(tmp_path):
    other = {**CELL, "refiner": "none"}
    write(tmp_path, GOOD)
    write(tmp_path, content(other, [80.0, 81.0], metric="auroc"))
    with pytest.raises(ValueError, match="metric: "):
        read_cells(tmp_path, [CELL, other])
