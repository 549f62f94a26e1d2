"""The code of a stage: whatever its module can import and runs is hashed, and little else."""

import ast
import shutil
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from replication.files import hash_of
from replication.settings import Settings, profile
from replication.stages import code as stage
from replication.stages.plan import REPORT, plan

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

KINDS = [
    ("views", "images"),
    ("train", "images"),
    ("train", "tabular"),
    ("train", "pairs", "images"),
    ("pretrain", "pairs", "images"),
    ("generator", "images"),
    ("generate", "images"),
    ("judges", "images"),
    ("judged", "images"),
    ("sheet", "images"),
    ("toy",),
    ("report",),
]
"""A stage, then what data are, and what their upstreams take if that is another."""

CARRIERS = ("settings", "cells", "files", "stages.clock", "stages.wanted", "report.folders")
FETCHING = ("data.sources", "data.download", "data.limits")
FINDING = ("data", "models", "upstream")
"""Rooms and modules that decide no figure, as `stages.code` says; the last find plugs."""

NAMES = {
    "training.cell": {
        *("SETS", "VIEWS", "MADE"),
        *("code", "device_of", "made_from", "pretrained", "processor", "views_of"),
    },
    "training.problems.contrastive": {"WEIGHTS"},
    "stages.train": {"CHECKPOINTS", "count", "end_with_parent"},
    "stages.generator": {"ORIGIN", "WEIGHTS", "folder_of", "place"},
    "stages.views": {"array"},
    "refiners": {"Believed", "Refined"},
}
"""What is imported of modules though no figure depends on it: types, constants, where a file lies
and how it is opened, what a run is identified by."""

OF_ONE_KIND = {"training.problems.contrastive": "pairs", "training.features": "images"}
"""`training.cell` imports them inside functions that only data of a kind come to."""


def modules():
    return {
        ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(SRC.rglob("*.py"))
    }


MODULES = modules()


def short(name):
    return name.removeprefix("replication.")


@cache
def tree(name):
    return ast.parse(MODULES[name].read_text("utf-8"), name)


@cache
def imports(name):
    """(module, name or None) of all that a module imports, inside functions as well."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add((whole, None) if whole in MODULES else (node.module, alias.name))
    return {(module, of) for module, of in found if module in MODULES}


def below(name, rooms):
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@cache
def runs(kind, *takes):
    """Modules of src/ that a kind of stage can import and that decide its figures."""
    module = {"report": ("report", "table")}.get(kind, (kind,))
    todo, found = [f"replication.stages.{name}" for name in module], set()
    while todo:
        name = todo.pop()
        if name in found or below(short(name), CARRIERS) or short(name) in FETCHING:
            continue
        if short(name) in FINDING:
            of = takes[-1:] if short(name) == "upstream" else takes[:1]
            plugs = {f"{name}.{what}" for what in of}
            plugs |= {f"{name}.identity"} if short(name) == "upstream" else set()
            todo += [n for n in MODULES if below(n, plugs)]
            continue
        found.add(name)
        only = OF_ONE_KIND.get(short(name))
        if only and only not in takes[:1]:
            continue
        todo += [m for m, of in imports(name) if of not in NAMES.get(short(m), ())]
    return found - {"replication"}


def hashed(monkeypatch, kind):
    """Modules of which the hash of a kind of stage is."""
    seen = []
    monkeypatch.setattr(stage, "hash_of", lambda paths: seen.extend(paths) or "")
    stage.code(*kind)
    of = {path.resolve(): name for name, path in MODULES.items()}
    return {of[path.resolve()] for path in seen if path.suffix == ".py"}


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_all_that_a_stage_can_import_and_runs_is_hashed(kind, monkeypatch):
    assert runs(*kind) - hashed(monkeypatch, kind) == set()


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_no_part_is_hashed_of_which_it_can_import_nothing(kind, monkeypatch):
    imported = runs(*kind)
    for part in stage.STAGES[kind[0]]:
        monkeypatch.setitem(stage.STAGES, "part", (part,))
        assert hashed(monkeypatch, ("part", *kind[1:])) & imported, part


def folder(name):
    """The one that a module lies in, of `training` with what is below it."""
    path = MODULES[name].parent
    return next((p for p in (path, *path.parents) if p.name == "training"), path)


@pytest.mark.parametrize("name", MODULES)
def test_an_edit_of_a_module_reaches_the_stages_that_run_it_or_its_neighbours(name, monkeypatch):
    reached = {kind for kind in KINDS if name in hashed(monkeypatch, kind)}
    of_module = {kind for kind in KINDS if name in runs(*kind)}
    of_folder = {kind for kind in KINDS if folder(name) in {folder(n) for n in runs(*kind)}}
    assert of_module <= reached <= of_folder


def test_nothing_is_named_as_left_out_that_is_not_imported():
    every = set().union(*map(imports, MODULES))
    for module, names in NAMES.items():
        assert {(f"replication.{module}", name) for name in names} <= every, module
    assert {f"replication.{name}" for name in (*CARRIERS, *FETCHING, *FINDING)} <= {*MODULES}


@pytest.fixture(scope="module")
def quick():
    definitions = [
        YAML(typ="safe").load((ROOT / name).read_text("utf-8"))
        for name in ("params.yaml", "profiles/quick.yaml")
    ]
    return Settings.model_validate(definitions[0] | {"profile": definitions[1]})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of src/."""
    folder = tmp_path_factory.mktemp("copy") / "src"
    shutil.copytree(SRC, folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


CELLS = {f"cells/{experiment}" for experiment in ("images", "tabular", "contrastive", "generated")}
TRAINED = CELLS | {"pretrained/contrastive"}
JUDGED = {"judges/generated", "judged/generated"}
MADE = {"generators/generated", "made/generated", "judged/generated"}
PAIRS = {"cells/contrastive", "pretrained/contrastive", "judged/generated"}
SHEETS, VIEWS = {"sheets/generated"}, {"views/images"}
TOY, PAGES = {"toy.json"}, {"report.json"}
IMAGES = {"cells/images", "cells/generated"} | VIEWS | JUDGED | SHEETS


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("saflex.py", TRAINED | JUDGED | SHEETS | TOY),
        ("replication/training/loop.py", TRAINED | JUDGED | SHEETS | {"generators/generated"}),
        ("replication/refiners/filtered.py", TRAINED | JUDGED | SHEETS | TOY),
        ("replication/models/images/resnet.py", IMAGES - VIEWS),
        ("replication/models/tabular/mlp.py", {"cells/tabular"}),
        ("replication/models/pairs/probe.py", PAIRS),
        ("replication/upstream/images/crop.py", CELLS - {"cells/tabular"} | SHEETS | VIEWS),
        ("replication/upstream/tabular/cutmix.py", {"cells/tabular"}),
        ("replication/upstream/diffusion/unet.py", MADE),
        ("replication/data/tabular/splitting.py", {"cells/tabular"}),
        ("replication/data/images/digits.py", (TRAINED - {"cells/tabular"}) | IMAGES | MADE),
        ("replication/data/dataset.py", TRAINED | IMAGES | MADE),
        ("replication/stages/views.py", VIEWS),
        ("replication/stages/generate.py", {"made/generated", "judged/generated"}),
        ("replication/toy.py", TOY),
        ("replication/report/page.py", PAGES),
        ("replication/report/templates/report.css", PAGES),
        ("replication/settings/plan.py", set()),
        ("replication/verify.py", set()),
    ],
)
def test_an_edit_changes_the_plan_of_what_runs_it(file, changed, quick, source, monkeypatch):
    monkeypatch.setattr(stage, "PACKAGE", source / "replication")
    before, text = plan(quick), (source / file).read_bytes()
    (source / file).write_bytes(text + b"\n")
    after = plan(quick)
    (source / file).write_bytes(text)
    assert before.keys() == after.keys()
    different = {path for path in before if before[path] != after[path]}
    assert {"/".join(path.parts[:2]) for path in different} == changed
    assert {path for path in before if "/".join(path.parts[:2]) in changed} == different


def test_the_plan_of_a_stage_has_the_hash_of_its_code(quick):
    files = plan(quick)
    pages = [*(SRC / "replication/report").rglob("*")]
    pages += [SRC / f"replication/stages/{name}.py" for name in ("report", "table")]
    sources = [path for path in pages if path.is_file() and path.suffix != ".pyc"]
    assert files[REPORT]["code"] == hash_of(sources)
    assert {path.parts[0] for path, content in files.items() if "code" not in content} == {"data"}


def test_these_are_the_kinds_of_the_profiles():
    grids = [grid for grid in vars(profile).values() if hasattr(grid, "augments")]
    found = {(grid.takes, *grid.augments) for grid in grids if hasattr(grid, "takes")}
    assert found == {kind[1:] for kind in KINDS if kind[0] == "train"}
    assert {kind[0] for kind in KINDS} == {*stage.STAGES}
