"""The walls of docs/architecture.md: who may import whom, and that DVC runs what is planned."""

import ast
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from dvc.parsing import DataResolver
from dvc.repo import Repo
from dvc.utils.serialize import load_yaml
from ruamel.yaml import YAML

from replication import settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "replication"

LAYERS = (
    {"files"},
    {"settings"},
    {"cells"},
    {"data"},
    {"upstream", "models", "refiners"},
    {"bilevel", "toy", "training"},
    {"report"},
    {"stages"},
    {"verify"},
)
"""A room imports from itself and from those above it in this list; neighbours do not mix, but for
the studies of the method, which build refiners as the training does."""
METHOD = {"refiners", "toy", "bilevel"}
"""Rooms that call `saflex`."""


def sources():
    return sorted(PACKAGE.rglob("*.py"))


def module(path):
    parts = ("replication", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path):
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "replication":
                yield from (f"replication.{alias.name}" for alias in node.names)
            else:
                yield node.module


def layer(name):
    room = name.split(".")[1]
    return next(i for i, rooms in enumerate(LAYERS) if room in rooms)


def is_command(path):
    return path.name == "__main__.py"


def test_every_room_has_its_place():
    found = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in sources()}
    assert found - {"__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("path", sources(), ids=module)
def test_no_import_runs_upwards_or_sideways(path):
    name = module(path)
    if name == "replication":
        return
    room = name.split(".")[1]
    for other in imports(path):
        if not other.startswith("replication."):
            continue
        inside = other.split(".")[1] == room
        assert inside or layer(other) < layer(name), f"{name} imports {other}"


def test_a_command_of_a_room_is_imported_by_nobody():
    commands = {module(path) for path in sources() if is_command(path)}
    assert commands
    for path in sources():
        assert not commands & {*imports(path)}, path


def test_the_method_stands_alone():
    allowed = {"torch", *sys.stdlib_module_names}
    found = {name.split(".")[0] for name in imports(ROOT / "src" / "saflex.py")}
    assert found <= allowed


def test_refiners_and_the_studies_of_the_method_alone_call_it():
    callers = {
        module(path).split(".")[1]
        for path in sources()
        if any(name.split(".")[0] == "saflex" for name in imports(path))
    }
    assert callers <= METHOD
    assert "refiners" in callers


@pytest.mark.parametrize("room", ["files", "cells", "settings"])
def test_what_is_known_before_a_run_needs_no_torch(room):
    for path in sources():
        if module(path).startswith(f"replication.{room}"):
            assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchvision"}
    code = f"import sys, replication.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_report_reads_result_files_only():
    for path in sources():
        if module(path).startswith("replication.report"):
            assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchvision"}, (
                path
            )


def test_nothing_reads_yaml_but_the_settings():
    for path in sources():
        read = {name.split(".")[0] for name in imports(path)} & {"yaml", "ruamel"}
        assert read <= ({"ruamel"} if module(path) == "replication.settings.file" else set()), path


EXPERIMENTS = {"images", "tabular", "generated", "contrastive", "toy"}


def conditionals(path):
    """(line, text) of comparisons with the name of an experiment, unless they ask what the data
    are, which have some of the same names, and of `match` statements on one."""

    def names(node):
        found = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
        return bool(EXPERIMENTS & {value for value in found if isinstance(value, str)})

    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(names(side) for side in sides):
                about = " ".join(ast.unparse(side) for side in sides)
                if "takes" not in about:
                    yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Match) and "experiment" in ast.unparse(node.subject):
            yield node.lineno, ast.unparse(node.subject)


def test_nothing_asks_which_experiment_it_is():
    allowed = PACKAGE / "settings" / "profile.py"
    assert not [(module(p), *hit) for p in sources() if p != allowed for hit in conditionals(p)]


def test_a_conditional_would_be_found(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "def f(cell, takes):\n"
        "    if cell.experiment == 'images': return 1\n"
        "    if 'tabular' in (cell.experiment, 'x'): return 2\n"
        "    if takes == 'images': return 3\n"
        "    match cell.experiment:\n"
        "        case 'toy': return 4\n"
    )
    assert sorted(line for line, _ in conditionals(path)) == [2, 3, 5]


# ---- the pipeline --------------------------------------------------------------------------------
PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """By profile, every stage that DVC has when the switch is turned to it."""
    folder = tmp_path_factory.mktemp("pipeline")
    for name in ("dvc.yaml", "params.yaml"):  # DVC merges the latter with the profile
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\nno_scm = true\nanalytics = false\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        return {profile: resolved(profile) for profile in PROFILES}


def resolved(profile):
    """The stages of dvc.yaml with a profile, as DVC's own parser has them."""
    settings.switch(profile)
    stages = DataResolver(Repo("."), ".", load_yaml("dvc.yaml")).resolve()["stages"]
    return [
        {"name": name, "cmd": stage["cmd"], "deps": stage["deps"], "outs": paths(stage)}
        for name, stage in stages.items()
    ]


def paths(stage):
    """What a stage gives out; an entry with options is a mapping with the path as its key."""
    entries = [*stage["outs"], *stage.get("metrics", [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in entries]


@pytest.fixture(params=PROFILES)
def profile(request):
    return request.param


def outs(stages):
    return [out for stage in stages for out in stage["outs"]]


def test_a_stage_for_each_method_that_is_planned(pipelines, profile):
    stages, planned = pipelines[profile], settings.methods(settings.load(profile))
    trained = {s["cmd"]: s["outs"] for s in stages if ".stages.train " in s["cmd"]}
    expected = {
        " ".join(["python -m replication.stages.train", profile, *vars(p.method).values()]): [
            p.method.folder(Path("results", profile, "cells")).as_posix()
        ]
        for p in planned
    }
    assert trained == expected
    assert len(trained) == sum(".stages.train " in s["cmd"] for s in stages)


def test_no_output_is_made_twice_and_no_stage_lost(pipelines, profile):
    stages = pipelines[profile]
    assert len({stage["name"] for stage in stages}) == len(stages)
    every = set(outs(stages))
    assert len(every) == len(outs(stages))
    assert not [out for out in every if every & {p.as_posix() for p in Path(out).parents}]


def test_every_cell_lies_in_what_its_stage_gives_out(pipelines, profile):
    folders = set(outs(pipelines[profile]))
    for cell in settings.cells(settings.load(profile)):
        assert cell.result(profile).parent.as_posix() in folders


def test_every_table_figure_data_set_and_view_has_its_stage(pipelines, profile):
    everything, made = settings.load(profile), set(outs(pipelines[profile]))
    pretrained = settings.pretrained(everything)
    results = f"results/{profile}"
    assert {f"data/sets/{name}" for name in everything.profile.data} == {
        out for out in made if out.startswith("data/sets/")
    }
    assert {"/".join(("data/views", profile, *view)) for view in settings.views(everything)} == {
        out for out in made if out.startswith("data/views/")
    }
    tables = {name for name, of in everything.profile.tables if of and name != "figure2"}
    assert {f"{results}/tables/{name}" for name in tables} <= made
    assert {out for out in made if out.startswith(f"{results}/tables/")} == {
        f"{results}/tables/{name}" for name in (*tables, "glance")
    }
    assert {f"data/pretrained/{profile}/{p.dataset}/{p.network}" for p in pretrained} == {
        out for out in made if out.startswith("data/pretrained/")
    }
    assert (f"{results}/cells/toy.json" in made) == (everything.profile.toy is not None)


def test_a_stage_depends_on_its_own_part_of_the_plan_and_the_plan_has_it(
    pipelines, profile, tmp_path, monkeypatch
):
    """Every file of the plan that a stage names is written, and every cell's is named by one."""
    from replication.data import sources
    from replication.stages.plan import PLAN, plan

    monkeypatch.setattr(sources, "OWN", tmp_path)
    everything = settings.load(profile)
    for name in everything.profile.data:
        if everything.datasets[name].own:
            (tmp_path / name).mkdir()
            (tmp_path / name / f"{name}.npz").write_bytes(b"the user's")
    folder = (PLAN / profile).as_posix()
    written = {f"{folder}/{path.as_posix()}" for path in plan(everything)}
    named = {
        dep for stage in pipelines[profile] for dep in stage["deps"] if dep.startswith(f"{folder}/")
    }
    assert named == written


def test_every_dependency_is_in_git_or_made_by_a_stage(pipelines, profile):
    stages = pipelines[profile]
    made = {*outs(stages), "data/embedded"}  # by data.dvc
    for stage in stages:
        for dep in stage["deps"]:
            parents = {dep, *(p.as_posix() for p in Path(dep).parents)}
            children = any(out.startswith(f"{dep}/") for out in made)
            assert parents & made or children or (ROOT / dep).exists(), (stage["name"], dep)


def test_every_stage_of_code_exists(pipelines, profile):
    for stage in pipelines[profile]:
        name = stage["cmd"].split()[2]
        assert (ROOT / "src" / (name.replace(".", "/") + ".py")).exists(), stage["cmd"]


def test_every_profile_names_its_lists_where_the_pipeline_looks_for_them(profile):
    content = YAML(typ="safe").load((ROOT / "profiles" / f"{profile}.yaml").read_text("utf-8"))
    assert content["profile"] == profile
    assert "crops" in content["images"]
    assert {"judges", "controlled", "beside", "clean"} <= {*content["generated"]}
    assert {"datasets", "networks", "models", "clean"} <= {*content["contrastive"]}
    assert "table4" in content["tables"]
