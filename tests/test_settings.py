"""params.yaml: what is committed is valid, and every mistake is named with its key."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from replication.settings import SettingsError, expected_cells, load, method_name

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "params.yaml").read_text()


def test_every_profile_is_valid_and_its_cells_have_distinct_names():
    for profile in ("quick", "small"):
        settings = load(ROOT / "params.yaml", profile)
        names = [(method_name(c), c["batch"]) for c in expected_cells(settings)]
        assert settings.run.name == profile
        assert len(names) == len(set(names)) > 0


def test_quick_is_offline_paired_and_controlled():
    run = load(ROOT / "params.yaml", "quick").run
    assert run.downloads == []
    assert run.images.seeds >= 5
    assert {"train-validation", "permuted", "smoothing", "reweighting"} <= set(run.images.refiners)
    assert set(run.images.batches) == {"augmented", "clean-augmented"}


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("magnitude: 9 ", "magnitude: 99 ", ("upstreams.randaugment.magnitude", "99", "30")),
        ("beta: 3.0", "beta: x", ("refiners.calibrated.saflex.beta", "number", "'x'")),
        ("beta: 3.0", "beta: .nan", ("refiners.calibrated.saflex.beta", "finite", "nan")),
        ("temperature: 0.01", "temperature: 0", ("refiners.paper.saflex.temperature", "0")),
        ("    - digits\n", "    - digitz\n", ("run.images.datasets", "digitz", "breastmnist")),
        ("seeds: 5 ", "seedz: 5 ", ("run.images.seedz", "not permitted")),
        ("seeds: 5 ", "seeds: 0 ", ("run.images.seeds", "0", "1")),
        ("- augmented   ", "- augmnted   ", ("run.images.batches.0", "augmnted", "'augmented'")),
        ("kind: mixup", "kind: mixap", ("upstreams.mixup", "mixap", "'mixup'")),
        ("weight_rule: gate", "weight_rule: gait", ("weight_rule", "gait", "'gate'")),
        ("readings:", "radings:", ("radings", "top level")),
        ("kind: none, train", "kind: saflex, train", ("refiners.train-validation", "saflex")),
        ("run: *quick", "run: *quik", ("quik",)),
    ],
)
def test_a_mistake_is_named(tmp_path, old, new, parts):
    path = tmp_path / "params.yaml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(SettingsError) as caught:
        load(path)
    for part in ("params.yaml", *parts):
        assert part in str(caught.value)


def test_a_stage_with_a_mistake_stops_before_anything_heavy_is_imported(tmp_path):
    (tmp_path / "params.yaml").write_text(TEXT.replace("beta: 3.0", "beta: x"))
    keys = ("family", "dataset", "model", "upstream", "refiner")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "replication.stages.train"]
        + [f"--{key}=x" for key in keys],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "refiners.calibrated.saflex.beta" in done.stderr
    assert "| torch" not in done.stderr
    assert time.monotonic() - began < 30


def test_a_missing_file_says_where_to_run():
    with pytest.raises(SettingsError, match="repository's root"):
        load(ROOT / "nowhere.yaml")


def test_the_file_survives_being_rewritten_by_dvc(tmp_path):
    """`dvc exp run -S` changes one value where an anchor holds it, and nothing else."""
    from dvc.utils.serialize import modify_yaml

    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    with modify_yaml(str(path)) as params:
        params["readings"]["calibrated"]["beta"] = 1.0
    assert load(path, "small") == load(ROOT / "params.yaml", "small").model_copy(
        update={"refiners": load(path).refiners}
    )
    for name in ("calibrated", "permuted", "smoothing"):
        assert load(path).refiners[name].saflex.beta == 1.0
