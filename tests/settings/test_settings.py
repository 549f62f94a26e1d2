"""params.yaml: what is committed is valid, and every mistake is named with its key."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from replication.settings import SettingsError, expected_cells, load, method_name, print_plan

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()


def test_every_profile_is_valid_and_its_cells_have_distinct_names():
    for profile in ("quick", "small", "sweep", "planted", "planted-medical", "full"):
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
        (
            "permuted, saflex: *paper}",
            "permuted, saflex: *theorem-1}",
            ("refiners.permuted-paper: imitates paper",),
        ),
        ("kind: none, train", "kind: saflex, train", ("refiners.train-validation", "saflex")),
        (
            "reweighting: {kind: saflex, ",
            "reweighting: {kind: saflex, train_on_validation: true, ",
            ("refiners.reweighting", "would learn from the samples that steer it"),
        ),
        (
            "patience: null         #",
            "patience: 3            #",
            ("run.images.training", "patience: needs select: best"),
        ),
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


def limited(tmp_path, limits):
    params = yaml.safe_load(TEXT)
    params["run"] = params["profiles"]["small"]
    params["run"]["tabular"]["training"]["limits"] = limits
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def test_of_the_limits_of_a_data_set_a_model_and_the_pair_the_lowest_holds(tmp_path):
    limits = {
        "qsar": {"seeds": 3, "epochs": 9},
        "mlp": {"seeds": 5, "epochs": 7, "batch_size": 11},
        "trees": {"seeds": 2},
        "arrhythmia/mlp": {"epochs": 2, "batch_size": 5},
    }
    settings = load(limited(tmp_path, limits))
    recipe = settings.training("tabular", "qsar", "mlp")
    assert settings.seeds("tabular", "qsar", "mlp") == 3
    assert (recipe.epochs, recipe.batch_size, recipe.limits) == (7, 11, {})
    assert settings.seeds("tabular", "arrhythmia", "mlp") == 5
    recipe = settings.training("tabular", "arrhythmia", "mlp")
    assert (recipe.epochs, recipe.batch_size) == (2, 5)
    assert settings.training("tabular", "arrhythmia", "saint-small").epochs > 2
    assert settings.seeds("tabular", "arrhythmia", "trees") == 2
    assert settings.training("tabular", "qsar", "trees").epochs == 9


@pytest.mark.parametrize(
    ("family", "key", "name", "message"),
    [
        ("images", "upstreams", "cutmix", "is not for this family"),
        ("tabular", "upstreams", "mixup", "is not for this family"),
        ("images", "datasets", "wine", "is of the other family"),
        ("tabular", "datasets", "digits", "is of the other family"),
        ("images", "models", "mlp", "is of the other family"),
        ("tabular", "models", "resnet18", "is of the other family"),
        ("images", "clean_models", "trees", "is of the other family"),
        ("tabular", "clean_refiners", "calibrated", "needs gradients, which trees do not have"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, family, key, name, message):
    params = yaml.safe_load(TEXT)
    params["run"][family][key] = [name]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    with pytest.raises(SettingsError, match=f"run.{family}.*'{name}' {message}"):
        load(path)


def test_a_data_set_may_have_fewer_seeds_and_epochs_but_never_more(tmp_path, monkeypatch, capsys):
    few, many = {"seeds": 3, "epochs": 7, "batch_size": 9}, {"seeds": 10000, "epochs": 10000}
    limited(tmp_path, {"qsar": few, "arrhythmia": many})
    monkeypatch.chdir(tmp_path)
    settings = load()
    grid = settings.run.tabular
    plain = grid.training.model_copy(update={"limits": {}})
    assert settings.seeds("tabular", "qsar", "mlp") == 3
    own = {"epochs": 7, "batch_size": 9}
    assert settings.training("tabular", "qsar", "mlp") == plain.model_copy(update=own)
    assert settings.seeds("tabular", "arrhythmia", "mlp") == grid.seeds > 3
    assert settings.training("tabular", "arrhythmia", "mlp") == plain
    print_plan(settings)
    printed = capsys.readouterr().out
    assert "qsar, mlp: 3 seeds x 7 epochs" in printed
    assert "arrhythmia, mlp:" not in printed


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        ({"qsar": {"seeds": 0}}, "run.tabular.training.limits.qsar.seeds"),
        ({"qsar": {"epochs": "x"}}, "run.tabular.training.limits.qsar.epochs"),
        ({"wine": {"seeds": 3}}, "'wine' is not among run.tabular.datasets"),
        ({"mlp/qsar": {"seeds": 3}}, "'mlp/qsar' is not among .* nor a data set/model"),
    ],
)
def test_mistaken_limits_are_named(tmp_path, limits, part):
    with pytest.raises(SettingsError, match=part):
        load(limited(tmp_path, limits))


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
    """DVC's writer changes one value where an anchor holds it, and nothing else. What `-S` does
    with aliases before it writes is another matter; see the test of what the README shows."""
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


def grids(tmp_path, change):
    params = yaml.safe_load(TEXT)
    grid = params["run"]["images"]
    grid |= {"upstreams": ["randaugment", "crop"], "crops": ["crop"]}
    grid |= {"refiners": ["none", "paper"], "crop_refiners": ["soft-augmentation"]}
    change(params)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return load(path)


def test_refiners_for_crops_are_cells_of_crops_alone(tmp_path):
    settings = grids(tmp_path, lambda params: None)
    cells = [c for c in expected_cells(settings) if c["family"] == "images"]
    refined = {(c["upstream"], c["refiner"]) for c in cells if c["upstream"] != "none"}
    assert refined == {
        ("randaugment", "none"),
        ("randaugment", "paper"),
        ("crop", "none"),
        ("crop", "paper"),
        ("crop", "soft-augmentation"),
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crops": ["randaugment"]}, "run.images.crops: 'randaugment' does not crop"),
        ({"upstreams": ["randaugment"]}, "'crop' is not among run.images.upstreams"),
        (
            {"refiners": ["soft-augmentation"]},
            "run.images.refiners: 'soft-augmentation' needs .* name it in run.images.crop_refiners",
        ),
        ({"crop_refiners": ["paper"]}, "run.images.crop_refiners: 'paper' is among"),
        ({"crop_refiners": ["soft"]}, "run.images.crop_refiners: 'soft' is not defined"),
    ],
)
def test_crops_that_do_not_fit_are_named(tmp_path, changed, message):
    with pytest.raises(SettingsError, match=message):
        grids(tmp_path, lambda params: params["run"]["images"].update(changed))


def test_the_whole_validation_split_cannot_be_trained_on_in_part(tmp_path):
    def change(params):
        params["refiners"]["train-validation"]["validation_noise"] = 0.2

    with pytest.raises(SettingsError, match=r"refiners.train-validation: .*validation_noise"):
        grids(tmp_path, change)
