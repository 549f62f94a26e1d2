"""The plan: a file for each stage with what its output depends on, so an edit reruns no more."""

import copy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from replication.files import read_json
from replication.settings import Settings, methods
from replication.settings.refiners import IMITATIONS
from replication.stages import plan as stage

ROOT = Path(__file__).parents[2]
REPORT, TOY = stage.REPORT, stage.TOY


def load(name):
    return YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8"))


DEFINITIONS = load("params.yaml")


def edited(profile, change=lambda entries: None):
    """The settings of a profile, and its plan, after an edit of `params.yaml | {profile: ...}`."""
    entries = copy.deepcopy(DEFINITIONS | {"profile": load(f"profiles/{profile}.yaml")})
    change(entries)
    everything = Settings.model_validate(entries)
    return everything, stage.plan(everything)


def changed(profile, change):
    """The plan's files that an edit changes, adds or takes away, the report's for itself alone."""
    (_, before), (_, after) = edited(profile), edited(profile, change)
    for plan in (before, after):
        del plan[REPORT]["settings"]["others"]
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def files(profile, wanted):
    """The files of the methods for which `wanted(planned)` holds."""
    everything, _ = edited(profile)
    return {file(planned) for planned in methods(everything) if wanted(planned.method)}


def file(planned):
    folder = planned.method.folder(Path("cells"))
    return folder.with_name(f"{folder.name}.json")


def test_every_method_data_set_and_view_has_a_file():
    everything, plan = edited("quick")
    assert {file(p) for p in methods(everything)} == {p for p in plan if p.parts[0] == "cells"}
    profile = everything.profile
    assert {p.stem for p in plan if p.parts[0] == "data"} == {*profile.data}
    assert {p for p in plan if p.parts[0] == "pretrained"} == {
        Path("pretrained/contrastive/digits-styles/clip-digits.json")
    }
    assert {p for p in plan if p.parts[0] == "views"} == {
        Path(f"views/images/{dataset}/{upstream}.json")
        for dataset in profile.images.datasets
        for upstream in profile.images.upstreams
    }
    assert {TOY, REPORT} <= set(plan)


@pytest.mark.parametrize("profile", ["quick", "planted"])
@pytest.mark.parametrize("reading", ["paper", "paper-literal", "calibrated", "reweighting"])
def test_an_edit_of_a_reading_touches_the_cells_that_use_or_imitate_it(profile, reading):
    def change(entries):
        entries["readings"][reading]["temperature"] = 0.77

    def users(entries):
        using = {n for n, r in entries["refiners"].items() if r.get("reading") == reading}
        imitating = {n for n, r in entries["refiners"].items() if r["kind"] in IMITATIONS}
        return using | {n for n in imitating if entries["refiners"][n]["of"] in using}

    names = users(DEFINITIONS)
    expected = files(profile, lambda method: method.refiner in names)
    toy = (load(f"profiles/{profile}.yaml").get("toy") or {}).get("refiners", [])
    expected |= {TOY} if names & {*toy} else set()
    made = edited(profile)[0].profile.generated
    expected |= {
        Path(f"sheets/generated/{dataset}/{refiner}.json")
        for dataset in made.datasets
        for refiner in names & {*made.sheets}
    }
    assert changed(profile, change) == expected
    assert (reading in ("paper", "calibrated")) <= (len(expected) > 0)


@pytest.mark.parametrize(
    ("section", "name", "field", "again"),
    [("readings", "calibrated", "temperature", True), ("upstreams", "mixup", "label", False)],
)
def test_the_report_knows_whether_anything_else_has_changed(section, name, field, again):
    def change(entries):
        entries[section][name][field] = "another" if field == "label" else 0.77

    (_, before), (_, after) = edited("quick"), edited("quick", change)
    others = [plan[REPORT]["settings"]["others"] for plan in (before, after)]
    assert (others[0] != others[1]) == again


@pytest.mark.parametrize("value", ["another", ""])
@pytest.mark.parametrize(
    ("section", "name", "field"),
    [
        ("refiners", "calibrated", "label"),
        ("refiners", "none", "label"),
        ("upstreams", "mixup", "label"),
        ("upstreams", "none", "label"),
    ],
)
def test_a_label_touches_the_report_alone(section, name, field, value):
    def change(entries):
        entries[section][name][field] = value

    assert changed("quick", change) == {REPORT}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("paper", {"role": "rival"}),
        ("train-validation", {"of": "calibrated"}),
        ("reweighting", {"of": "paper"}),
    ],
)
def test_so_do_a_role_and_whose_control_it_is(name, fields):
    assert changed("quick", lambda entries: entries["refiners"][name].update(fields)) == {REPORT}


def test_a_control_of_another_reading_is_run_again():
    def change(entries):
        entries["refiners"]["permuted"]["of"] = "theorem-1"

    expected = files("quick", lambda method: method.refiner == "permuted")
    assert changed("quick", change) == expected | {REPORT, TOY}


def test_a_new_reading_touches_no_cell_and_no_toy():
    def define(entries):
        entries["readings"]["mine"] = entries["readings"]["calibrated"] | {"beta": 1.0}
        entries["refiners"]["mine"] = {
            "kind": "saflex",
            "role": "reading",
            "label": "mine",
            "reading": "mine",
        }
        for kind in ("permuted", "smoothing"):
            entries["refiners"][f"{kind}-mine"] = {
                "kind": kind,
                "role": "control",
                "of": "mine",
                "label": f"mine, {kind}",
            }

    def define_and_name(entries):
        define(entries)
        entries["profile"]["images"]["refiners"] += ["mine", "permuted-mine", "smoothing-mine"]

    assert changed("quick", define) == {REPORT}
    found = changed("quick", define_and_name)
    assert {path.stem for path in found - {REPORT}} == {"mine", "permuted-mine", "smoothing-mine"}
    images = edited("quick")[0].profile.images
    trained = len(images.datasets) * len(images.models) * len(images.upstreams)
    assert len(found - {REPORT}) == 3 * trained


def test_limits_of_a_data_set_touch_its_cells_alone():
    def change(entries):
        entries["profile"]["tabular"]["limits"] |= {"qsar": {"epochs": 3}}

    assert changed("full", change) == files("full", lambda method: method.dataset == "qsar")


def test_limits_of_a_data_set_and_model_touch_those_cells_alone():
    def change(entries):
        entries["profile"]["tabular"]["limits"] |= {"qsar/mlp": {"batch_size": 7}}

    expected = files("full", lambda method: (method.dataset, method.model) == ("qsar", "mlp"))
    assert changed("full", change) == expected


def test_more_seeds_change_their_number_and_nothing_else():
    def change(entries):
        entries["profile"]["images"]["seeds"] = 9

    expected = files("quick", lambda method: method.experiment == "images")
    assert changed("quick", change) == expected
    (_, before), (_, after) = edited("quick"), edited("quick", change)
    for path in expected:
        one, other = before[path]["settings"], after[path]["settings"]
        assert {key for key in one if one[key] != other[key]} == {"seeds"}
        assert other["seeds"] == 9


def test_epochs_touch_no_view_and_no_data():
    def change(entries):
        entries["profile"]["images"]["training"]["epochs"] = 3

    expected = files("quick", lambda method: method.experiment == "images")
    assert changed("quick", change) == expected


@pytest.mark.parametrize(
    ("section", "name", "field", "value", "parts"),
    [
        ("upstreams", "randaugment", "magnitude", 3, {"cells", "views"}),
        ("upstreams", "cutmix", "probability", 0.1, {"cells"}),
        ("models", "mlp", "dropout", 0.3, {"cells"}),
        ("datasets", "digits", "train", 100, {"cells", "views", "data"}),
        ("datasets", "breast_cancer", "target", "y", {"cells", "data"}),
    ],
)
def test_a_definition_touches_what_is_made_with_it(section, name, field, value, parts):
    found = changed("quick", lambda entries: entries[section][name].update({field: value}))
    assert {path.parts[0] for path in found} == parts
    assert all(name in (*path.parts, path.stem) for path in found)


@pytest.mark.parametrize("section", ["refiners", "upstreams", "models"])
def test_the_report_follows_the_order_of_definitions(section):
    def change(entries):
        entries[section] = dict(reversed(entries[section].items()))

    assert changed("quick", change) == {REPORT}


def test_and_that_of_the_profile():
    def change(entries):
        entries["profile"]["tabular"]["datasets"].reverse()

    assert changed("full", change) == {REPORT}


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("upstreams", "crop"),
        ("models", "saint"),
        ("datasets", "volkert"),
        ("readings", "theorem-1"),
    ],
)
def test_what_the_profile_does_not_use_touches_no_stage(section, name):
    def change(entries):
        entry = entries[section][name]
        entries[section][name] = entry | {"how": "jvp"} if section == "readings" else entry
        entries[section][f"{name}-2"] = entry

    assert changed("quick", change) <= {REPORT}


def test_the_stage_writes_the_plan_and_clears_an_older_one(tmp_path, monkeypatch, capsys):
    for name in ("params.yaml", "dvc.yaml", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    old = tmp_path / "data/plan/quick/cells/images/gone.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    monkeypatch.chdir(tmp_path)
    stage.main()
    everything, plan = edited("quick")
    folder = stage.PLAN / everything.profile.profile
    written = {p.relative_to(folder): read_json(p) for p in folder.rglob("*") if p.is_file()}
    assert written == plan
    count = sum(len(planned.batches) for planned in methods(everything))
    assert f"profile quick: {count} cells" in capsys.readouterr().out
    before = {p: p.read_bytes() for p in folder.rglob("*.json")}
    stage.main()
    assert {p: p.read_bytes() for p in folder.rglob("*.json")} == before
