"""params.yaml and profiles/*.yaml are read as DVC reads them, and every mistake is named."""

import subprocess
import sys

import pytest
from dvc.utils.serialize import modify_yaml, parse_yaml

from replication import settings
from replication.settings import SettingsError, load

QUICK, PARAMS = "profiles/quick.yaml", "params.yaml"


@pytest.mark.parametrize(
    ("name", "old", "new", "parts"),
    [
        (PARAMS, "magnitude: 9 ", "magnitude: 99 ", ("upstreams.randaugment.magnitude", "99 30")),
        (PARAMS, "beta: 3.0", "beta: x", ("readings.calibrated.beta", "number 'x'")),
        (PARAMS, "beta: 3.0", "beta: .nan", ("readings.calibrated.beta", "nan")),
        (PARAMS, "beta: 3.0", "beta: -1.0", ("readings.calibrated.beta", "-1.0 0")),
        (PARAMS, "temperature: 0.01", "temperature: 0", ("readings.paper.temperature", "0")),
        (PARAMS, "kind: mixup", "kind: mixap", ("upstreams.mixup", "mixap 'mixup'")),
        (PARAMS, "weight_rule: gate", "weight_rule: gait", ("readings.calibrated", "gait 'gate'")),
        (PARAMS, "readings:", "radings:", ("radings", "no such setting; is readings meant?")),
        (PARAMS, "    width: 64\n", "", ("models.resnet18.width", "required")),
        (PARAMS, "space: log_probs", "scope: []", ("readings.calibrated.scope", "1 item")),
        (PARAMS, "file: wine.csv", "file: ../wine.csv", ("datasets.wine.file", "../wine.csv")),
        (PARAMS, "file: wine.csv", "file: ..", ("datasets.wine.file", "'..'")),
        (PARAMS, "upstreams:\n", "profile: x\nupstreams:\n", ("profile", "dvc.yaml")),
        (PARAMS, "  mixup:\n", "  010:\n", ("upstreams.10", "string")),
        (QUICK, "  - digits\n", "  - digitz\n", ("images.datasets", "digitz breastmnist")),
        (QUICK, "  - digits\n", "  - 1\n", ("images.datasets.0", "string 1")),
        (QUICK, "seeds: ", "seedz: ", ("images.seedz", "no such setting", "seeds")),
        (QUICK, "seeds: ", "seeds: 0  # ", ("images.seeds", "0 1")),
        (QUICK, "seeds: ", "seeds: '5'  # ", ("images.seeds", "integer '5'")),
        (QUICK, "- augmented\n", "- augmnted\n", ("images.batches.0", "augmnted 'augmented'")),
        (QUICK, "validation_batch: ", "validation_batch: 3  # ", ("validation_batch: ", "3 4")),
        (QUICK, "  batches:", "  limits: {digits: {epoch: 3}}\n  batches:",
         ("images.limits.digits.epoch", "no such setting; is epochs meant?")),
        (QUICK, "  batches:", "  limits: {digit: {epochs: 3}}\n  batches:",
         ("images.limits", "'digit'")),
        (QUICK, "sigma: ", "sigma: .inf  # ", ("toy.picture.sigma", "inf")),
        (QUICK, "profile: quick", "profile: quik", ("profile", "quick 'quik'")),
        (QUICK, "minutes: ", "minutes: 11\nminutes: ", ("line 4", "duplicate")),
        (QUICK, "minutes: ", "minutes: 2001-99-99  # ", ("month",)),
        (QUICK, "minutes: ", "minutes: [  # ", ("line",)),
        (QUICK, "\ndata:", "\n---\ndata:", ("single document",)),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_file_and_what_is_allowed(copy, name, old, new, parts):
    copy.replace(name, old, new)
    with pytest.raises(SettingsError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert parts[0] in message
    for word in " ".join(parts).split():
        assert word in message


NASTY = ("$(touch X)", "x;touch X", "../x", "a b", "a/b", "-x", "`id`", "x\n", "")


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("section", ["upstreams", "readings", "refiners", "datasets", "models"])
def test_a_name_that_a_shell_or_a_path_would_misread_is_no_name(copy, section, name):
    def add(params):
        params[section][name] = next(iter(params[section].values()))

    copy.change(PARAMS, add)
    with pytest.raises(SettingsError, match=rf"params.yaml: {section}\."):
        load()


@pytest.mark.parametrize("name", NASTY)
def test_nor_does_a_profile_name_one(copy, name):
    places = {
        "data": lambda p: p["data"],
        "images.datasets": lambda p: p["images"]["datasets"],
        "images.models": lambda p: p["images"]["models"],
        "images.upstreams": lambda p: p["images"]["upstreams"],
        "images.refiners": lambda p: p["images"]["refiners"],
        "images.clean.models": lambda p: p["images"]["clean"]["models"],
        "tabular.clean.refiners": lambda p: p["tabular"]["clean"]["refiners"],
        "images.crops.upstreams": lambda p: p["images"]["crops"]["upstreams"],
        "images.crops.refiners": lambda p: p["images"]["crops"]["refiners"],
        "toy.refiners": lambda p: p["toy"]["refiners"],
        "tables.table1": lambda p: p["tables"]["table1"],
    }
    for key, place in places.items():
        before = copy.text(QUICK)
        copy.change(QUICK, lambda profile, place=place: place(profile).insert(0, name))
        with pytest.raises(SettingsError, match=rf"profiles/quick\.yaml: {key}"):
            load()
        (copy.folder / QUICK).write_text(before)


def test_the_stage_before_all_others_refuses_such_a_name(copy):
    copy.replace(QUICK, "  - randaugment", "  - $(touch X)")
    done = subprocess.run(
        [sys.executable, "-m", "replication.stages.plan"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "images.upstreams: '$(touch X)' is not defined" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (copy.folder / "data").exists()


def test_a_profile_whose_file_has_no_name_for_a_path_is_refused(copy):
    text = copy.text(QUICK).replace("profile: quick", "profile: a b")
    (copy.folder / "profiles/a b.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"profiles/a b.yaml: profile: .*'a b'"):
        load("a b")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "a mapping of settings is expected, got None"),
        (b"# nothing\n", "a mapping"),
        (b"- a\n", "a mapping"),
        (b"profile: quick\n", "Field required"),
        ("profile: quick  # für\n".encode("latin-1"), "save it as UTF-8"),
        ("profile: quick\n".encode("utf-16"), "save it as UTF-8"),
        (b"profile: quick\0\n", "not valid YAML"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(copy, content, part):
    (copy.folder / QUICK).write_bytes(content)
    with pytest.raises(SettingsError, match=part) as caught:
        load()
    assert QUICK in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", [PARAMS, QUICK, "dvc.yaml"])
def test_another_encoding_is_named_with_the_remedy(copy, name, encoding):
    (copy.folder / name).write_bytes(f"# für {copy.text(name)}".encode(encoding))
    with pytest.raises(SettingsError, match=rf"^{name}: is not UTF-8 .*save it as UTF-8"):
        load()


def test_files_of_windows_are_read(copy):
    expected = load()
    for name in (QUICK, PARAMS, "dvc.yaml"):
        text = copy.text(name).replace("\n", "\r\n")
        (copy.folder / name).write_bytes(b"\xef\xbb\xbf" * (name != "dvc.yaml") + text.encode())
    assert load() == expected


@pytest.mark.parametrize(
    ("written", "value"), [("010", 10), ("0o10", 8), ("0x10", 16), ("1_0", 10), ("10", 10)]
)
def test_numbers_are_what_dvc_takes_them_for(copy, written, value):
    copy.replace(QUICK, "seeds: ", f"seeds: {written}  # ")
    assert parse_yaml(copy.text(QUICK), QUICK)["images"]["seeds"] == value
    assert load().profile.images.seeds == value


def test_what_dvc_writes_for_a_setting_of_the_command_line_is_read(copy):
    """DVC's writer changes one value and nothing else."""
    every = {name: load(name) for name in settings.profiles()}
    with modify_yaml(PARAMS) as params:
        params["readings"]["calibrated"]["beta"] = 1.0
    with modify_yaml(QUICK) as profile:
        profile["images"]["seeds"] = 3
    for name, before in every.items():
        now = load(name)
        assert now.readings["calibrated"].beta == 1.0
        assert now.refiners == before.refiners
        if name == "quick":
            assert now.profile.images.seeds == 3
        else:
            assert now.profile == before.profile


def test_the_switch_is_turned_and_nothing_else(copy):
    before = copy.text("dvc.yaml")
    assert settings.active() == "quick"
    assert settings.switch("small") == "quick"
    assert settings.active() == load().profile.profile == "small"
    now = copy.text("dvc.yaml")
    changed = [(a, b) for a, b in zip(before.split("\n"), now.split("\n"), strict=True) if a != b]
    assert len(changed) == 1
    settings.switch("quick")
    assert copy.text("dvc.yaml") == before


@pytest.mark.parametrize("name", ["nowhere", "../profiles/quick", "", "quick.yaml"])
def test_a_profile_that_is_not_there_is_named_with_those_that_are(copy, name):
    there = "there are .*planted, .*quick, .*small"
    for call in (settings.switch, load):
        with pytest.raises(SettingsError, match=f"no profile '{name}'; {there}"):
            call(name)
    assert settings.active() == "quick"


def test_a_pipeline_without_a_switch_says_what_it_lacks(copy):
    copy.replace("dvc.yaml", "- profiles/quick.yaml", "- profiles/quick.yml")
    with pytest.raises(SettingsError, match=r"dvc.yaml: `- profiles/NAME.yaml` below `vars:`"):
        load()


def test_outside_the_repository_it_says_where_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="repository's root"):
        load()


def test_the_command_turns_the_switch_of_a_valid_profile_only(copy):
    def run(*words):
        command = [sys.executable, "-m", "replication.settings", *words]
        return subprocess.run(command, capture_output=True, text=True)

    done = run("planted")
    assert "dvc.yaml: profile quick -> planted" in done.stdout
    assert f"profile planted: {len(settings.cells(load('planted')))} cells" in done.stdout
    copy.replace("profiles/small.yaml", "seeds: ", "seeds: x  # ")
    done = run("small")
    assert done.returncode == 1
    assert "profiles/small.yaml: images.seeds" in done.stderr
    assert settings.active() == "planted"


def test_a_mistake_stops_a_stage_before_anything_heavy_is_imported(copy):
    words = ["quick", *vars(settings.methods(load("quick"))[0].method).values()]
    copy.replace(PARAMS, "beta: 3.0", "beta: x")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "replication.stages.train", *words],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "readings.calibrated.beta" in done.stderr
    assert "| torch" not in done.stderr
