"""What a profile lacks is trained, in turn, with what it needs, whatever fails."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from replication import cells, settings
from replication.stages import missing, train

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    everything = settings.load("quick")
    monkeypatch.setattr(settings, "load", lambda _: everything)
    monkeypatch.chdir(tmp_path)
    return everything


def found(planned, seeds):
    return SimpleNamespace(settings=planned.recipe.dump(), seeds=[None] * seeds)


def method(everything, *words):
    every = settings.methods(everything)
    return next(p for p in every if {*words} <= {*p.method.model_dump().values()})


def test_methods_are_missing_until_all_seeds_of_all_their_cells_are_there(quick, monkeypatch):
    every = settings.methods(quick)
    assert missing.missing(quick, []) == every
    of = {cell: planned for planned in every for cell in planned.cells}
    there = {cell: found(planned, planned.seeds) for cell, planned in of.items()}
    monkeypatch.setattr(cells, "result", lambda cell, _: there[cell])
    assert missing.missing(quick, []) == []
    fewer, none, other = [p for p in every if len(p.cells) == 2][:3]
    there[fewer.cells[1]] = found(fewer, fewer.seeds - 1)
    there[none.cells[0]] = None
    there[other.cells[0]].settings["training"] = {}
    assert missing.missing(quick, []) == [fewer, none, other]
    assert missing.missing(quick, [fewer.method.refiner, "digits"]) == [fewer]


def test_one_that_fails_is_named_and_the_others_are_trained(quick, monkeypatch, capsys):
    ran = []

    def run(planned, profile):
        ran.append(planned)
        if len(ran) == 2:
            raise SystemExit("the second: its loss is not finite")

    monkeypatch.setattr(train, "run", run)
    monkeypatch.setattr(missing, "prepare", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["missing", "quick", "tabular"])
    with pytest.raises(SystemExit) as caught:
        missing.main()
    assert caught.value.code == 1
    assert ran == [p for p in settings.methods(quick) if p.method.experiment == "tabular"]
    said = capsys.readouterr().out
    assert "the second: its loss is not finite" in said
    assert f"methods trained: {len(ran) - 1}, failed: 1" in said


def test_what_a_method_needs_is_made_first_and_once(quick, monkeypatch):
    stages = []

    def make(command):
        stages.append(command[2:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", make)
    missing.prepare(quick, method(quick, "digits", "randaugment", "paper"))
    missing.prepare(quick, method(quick, "digits-styles", "flyp-digits", "none"))
    Path("data/sets/breast_cancer").mkdir(parents=True)
    missing.prepare(quick, method(quick, "breast_cancer", "cutmix", "posterior"))
    assert [" ".join(words).removeprefix("replication.stages.") for words in stages] == [
        "data quick digits",
        "views quick images digits randaugment",
        "data quick digits-styles",
        "pretrain quick contrastive digits-styles clip-digits",
    ]
    stages.clear()
    missing.prepare(quick, method(quick, "digits-inverted", "img2img-digits", "paper"))
    assert [" ".join(words).removeprefix("replication.stages.") for words in stages] == [
        "data quick digits-inverted",
        "generator quick generated digits-inverted unet-digits",
        "judges quick generated digits-inverted",
        "generate quick generated digits-inverted img2img-digits",
        "judged quick generated digits-inverted img2img-digits",
    ]
    monkeypatch.setattr(subprocess, "run", lambda _: SimpleNamespace(returncode=2))
    with pytest.raises(SystemExit, match=r"digits.*: stage data failed"):
        missing.prepare(quick, method(quick, "digits", "randaugment", "paper"))
