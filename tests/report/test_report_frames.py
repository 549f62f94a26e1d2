"""Reading result files: what is planned, what is missing, what is refused."""

import copy
import json
import re

import numpy as np
import pytest
from made_cells import DEFINITIONS, cell, grid, made, one, populate, settings, write, write_raw

from replication.report.frames import KEYS, read_cells

CELL = cell("paper")
ALONE = one(refiners=["paper"])
GOOD = made(CELL, [80.0, 81.5], kept=0.9)


def test_one_row_per_seed_and_score_and_per_diagnostic():
    write(made(CELL, [80.0, 81.5], others={"auroc": [90.0, 91.0]}, kept=0.9))
    cells = read_cells(ALONE)
    rows = cells.scores.set_index(["split", "weights", "metric", "seed"])["value"]
    assert rows.to_dict() == {
        ("test", "final", "accuracy", 0): 0.8,
        ("test", "final", "accuracy", 1): 0.815,
        ("test", "final", "auroc", 0): 0.9,
        ("test", "final", "auroc", 1): 0.91,
    }
    assert cells.diagnostics[["seed", "name", "value"]].to_numpy().tolist() == [
        [0, "kept", 0.9],
        [1, "kept", 0.9],
    ]
    assert (cells.scores[KEYS] == [*CELL.key]).all(axis=None)
    assert cells.provenance[CELL.key].device == "CPU, 2 cores"


def test_a_row_says_what_the_entries_of_params_say():
    soft = {**DEFINITIONS["refiners"]["paper"], "validation_share": 0.5, "validation_noise": 0.25}
    refiners = ["none", "train-validation", "permuted", "soft"]
    everything = one(refiners=refiners, more={"refiners": {"soft": soft}})
    rows = read_cells(everything).grid.set_index("refiner")
    assert rows["role"].to_dict() == {
        "none": "baseline",
        "train-validation": "control",
        "permuted": "control",
        "soft": "reading",
    }
    assert rows.loc["permuted", ["of", "kind"]].tolist() == ["calibrated", "permuted"]
    assert rows["train_on_validation"].tolist() == [False, True, False, False]
    assert rows.loc["soft", ["base", "share", "noise"]].tolist() == ["paper", 0.5, 0.25]
    assert set(rows["upstream_kind"]) == {"mixup"}
    assert set(rows["model_kind"]) == {"resnet"}


def test_cells_without_a_file_stay_known():
    write(GOOD)
    cells = read_cells(one(refiners=["paper", "permuted"]))
    assert cells.grid["run"].tolist() == [True, False]
    assert cells.grid["metric"].tolist() == ["accuracy", "accuracy"]
    assert cells.scores["refiner"].unique().tolist() == ["paper"]


def test_nothing_run_and_nothing_planned():
    assert not read_cells(ALONE).grid["run"].any()
    assert read_cells(settings()).grid.empty
    assert read_cells(settings()).profile == "quick"


def test_files_of_other_cells_are_passed_over():
    populate(settings(grid(["digits"], ["resnet18-slim"], ["mixup"])), seeds=2)
    assert len(read_cells(ALONE).files) == 1


def test_one_experiment_alone_is_read():
    both = settings(
        grid(["digits"], ["resnet18"], ["mixup"], ["none"], (), ["augmented"]),
        grid(["wine"], ["mlp"], ["cutmix"], ["none"], (), ["augmented"]),
    )
    populate(both, seeds=2)
    assert set(read_cells(both).grid["experiment"]) == {"images", "tabular"}
    assert [key[0] for key in read_cells(both, ["tabular"]).files] == ["tabular"]


def test_the_order_is_that_of_params():
    everything = settings(
        grid(["pathmnist", "digits"], ["resnet18-slim", "resnet18"], ["mixup", "randaugment"],
             ["permuted", "calibrated", "paper", "none"])
    )  # fmt: skip
    rows = read_cells(everything).grid
    assert list(dict.fromkeys(rows["dataset"])) == ["pathmnist", "digits"]
    assert list(dict.fromkeys(rows["model"])) == ["resnet18", "resnet18-slim"]
    assert list(dict.fromkeys(rows["upstream"])) == ["none", "randaugment", "mixup"]
    refined = rows[rows["upstream"] != "none"]
    assert list(dict.fromkeys(refined["refiner"])) == ["none", "paper", "calibrated", "permuted"]


def test_nan_is_undefined():
    content = GOOD.model_dump(mode="json")
    content["seeds"][0]["scores"][0]["value"] = float("nan")
    write_raw(content, CELL.result("quick"))
    values = read_cells(ALONE).scores["value"]
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


SCORE = ["seeds", 0, "scores", 0]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        (change(["cell"], KeyError), "cell"),
        (change(["cell", "batch"], "dirty"), "cell.batch"),
        (change(["cell", "upstream"], KeyError), "cell.upstream"),
        (change(["cell", "refiner"], "calibrated"), "cell: images: digits, resnet18-slim, mixup"),
        (change(["metric"], KeyError), "metric"),
        (change(["metric"], "auroc"), "seeds.0.scores: auroc of test is missing"),
        (change(["seeds"], []), "seeds"),
        (change(["seeds", 1, "seed"], 0), "seeds: seed 0 appears twice"),
        (change(["seeds", 1, "seed"], KeyError), "seeds.1.seed"),
        (change([*SCORE, "value"], "high"), "seeds.0.scores.0.value"),
        (change([*SCORE, "value"], 81.5), "seeds.0.scores.0: accuracy: 81.5 is not between"),
        (change(["seeds", 0, "refiner"], {"kept": "all"}), "seeds.0.refiner.kept"),
        (change(["data", "tests"], {}), "data.tests"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(changed, key):
    content = copy.deepcopy(GOOD.model_dump(mode="json"))
    changed(content)
    path = write_raw(content, CELL.result("quick"))
    with pytest.raises(ValueError, match=re.escape(f"{path}: {key}")):
        read_cells(ALONE)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "{}", '{"cell": [1]}'])
def test_what_is_not_a_result_file_is_named(text):
    path = write(GOOD)
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_cells(ALONE)


def test_malformed_provenance_is_named():
    write(GOOD)
    path = write_raw({"seconds": "long"}, CELL.provenance("quick"))
    with pytest.raises(ValueError, match=re.escape(f"{path}: seconds")):
        read_cells(ALONE)


def test_a_data_set_has_one_metric_and_split():
    everything = one(refiners=["none", "paper"])
    write(GOOD)
    other = made(cell("none"), [80.0, 81.0], metric="auroc")
    write(other)
    with pytest.raises(ValueError, match="metric: "):
        read_cells(everything)
    text = json.dumps(made(cell("none"), [80.0, 81.0]).model_dump(mode="json"))
    write_raw(json.loads(text.replace('"test"', '"ood"')), cell("none").result("quick"))
    with pytest.raises(ValueError, match="metric: "):
        read_cells(everything)
