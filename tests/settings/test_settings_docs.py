"""What the documents tell people to write into params.yaml and a profile is taken."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from replication import settings
from replication.settings import load

ROOT = Path(__file__).parents[2]
QUICK, PARAMS = "profiles/quick.yaml", "params.yaml"


def blocks(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    return [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]


def define(copy, entries):
    def add(params):
        for section, own in entries.items():
            params[section].update(own)

    copy.change(PARAMS, add)


def test_a_reading_of_your_own_with_its_controls(copy):
    (entries,) = blocks("docs/readings.md")
    define(copy, entries)
    names = [*entries["refiners"]]
    copy.change(QUICK, lambda profile: profile["images"]["refiners"].extend(names))
    everything = load()
    planned = {p.method.refiner: p.recipe for p in settings.methods(everything)}
    for name in names:
        assert planned[name].reading == everything.readings["mine"]
    assert {everything.refiners[name].of for name in names} == {None, "mine"}


def test_data_of_your_own(copy):
    (entries,) = blocks("docs/data.md")
    define(copy, entries)

    def name(profile):
        profile["data"] += ["mine", "pictures"]
        profile["tabular"]["datasets"].append("mine")
        profile["images"]["datasets"].append("pictures")

    copy.change(QUICK, name)
    everything = load()
    assert everything.datasets["mine"].separator == ";"
    assert everything.datasets["pictures"].own
    assert {"mine", "pictures"} <= {p.method.dataset for p in settings.methods(everything)}


def test_the_line_of_the_folder_for_it(copy):
    (entry,) = blocks("data/own/README.md")
    define(copy, {"datasets": {"mine": entry["NAME"]}})
    found = load().datasets["mine"]
    assert (found.kind, found.own, found.file, found.target) == ("csv", True, "FILE.csv", "COLUMN")


def test_the_example_in_params_yaml(copy):
    line = next(x for x in copy.text(PARAMS).splitlines() if x.startswith("  # mine: "))
    copy.replace(PARAMS, line, line.replace("# ", "", 1))
    assert load().datasets["mine"].own


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.stem)
def test_every_file_of_the_repository_that_it_links_to_is_there(path):
    for name in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        target = (path.parent / name).resolve()
        inside = target.relative_to(ROOT)
        assert target.exists() or inside.parts[0] == "results", name
