"""The estimate is steps times seconds, summed over the grid, each kind of step timed once."""

from pathlib import Path

import pytest
import torch

import replication.data
from replication import settings
from replication.stages import estimate
from replication.stages.estimate import Clock, costs
from replication.training import cell

CPU = torch.device("cpu")


@pytest.fixture
def quick(monkeypatch):
    """The default grid of images and tables on the embedded data."""
    monkeypatch.setattr(cell, "SETS", Path(replication.data.__file__).parent / "embedded")
    pairs = changed(settings.load("quick"), "contrastive", datasets=[])
    return changed(pairs, "generated", datasets=[])


def changed(everything, experiment, **update):
    grid = getattr(everything.profile, experiment).model_copy(update=update)
    profile = everything.profile.model_copy(update={experiment: grid})
    return everything.model_copy(update={"profile": profile})


def test_the_sum_is_over_steps_seeds_and_cells(quick, monkeypatch):
    """With a second for each pass, the steps of digits' 200 samples are counted by hand."""
    monkeypatch.setattr(Clock, "_measure", lambda *_: 1.0)
    images = quick.profile.images
    kind, steps, seconds = costs(settings.methods(quick), CPU)[0]
    assert kind == ("images", "digits", images.models[0])
    pairs = len(images.upstreams) * len(images.refiners)
    cells = len(images.clean.refiners) + pairs * len(images.batches)
    epochs = images.seeds * images.training.epochs * -(-200 // images.training.batch_size)
    assert steps == cells * epochs
    assert seconds == steps + pairs * epochs


def work(recipe):
    """What the seconds of a step depend on, beside model and data."""
    reading = {} if recipe.refiner.kind == "confidence" else recipe.dump()["reading"] or {}
    fields = ("kind", "how", "scope", "shrink")
    return recipe.views > 0, *(str(reading.get(field)) for field in fields)


def test_steps_that_do_the_same_work_are_timed_once(quick, monkeypatch):
    timed = []

    def measure(clock, recipe, few):
        timed.append((few.name, work(recipe)))
        return 1.0

    monkeypatch.setattr(Clock, "_measure", measure)
    planned = settings.methods(quick)
    costs(planned, CPU)
    digits = [p.recipe for p in planned if p.method.dataset == "digits"]
    found = [done for name, done in timed if name == "digits"]
    assert sorted(found) == sorted({work(recipe) for recipe in digits})


@pytest.mark.parametrize(
    ("one", "other", "once"),
    [
        ("posterior", "permuted-posterior", True),
        ("posterior", "calibrated", False),
        ("posterior", "none", False),
        ("confidence", "posterior", False),
        ("confidence", "none", True),
        ("oracle", "none", True),
    ],
)
def test_refiners_that_do_the_same_work(quick, monkeypatch, one, other, once):
    timed = []
    monkeypatch.setattr(Clock, "_measure", lambda _, recipe, few: timed.append(recipe) or 1.0)
    planned = next(p for p in settings.methods(quick) if p.method.upstream != "none")
    few, _ = estimate.few_samples(planned.method.dataset, planned.recipe, 2)
    kind = ("images", planned.method.dataset, planned.method.model)
    clock = Clock(CPU)
    for name in (one, other):
        own = {"refiner": quick.refiners[name], "reading": quick.reading(name)}
        clock.step(kind, planned.recipe.model_copy(update=own), few)
    assert len(timed) == (1 if once else 2)


def test_a_set_that_is_not_there_is_stood_in_for(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(cell, "SETS", tmp_path)
    monkeypatch.setattr(Clock, "_measure", lambda *_: 1.0)
    every = changed(changed(quick, "images", datasets=["organsmnist"]), "tabular", datasets=[])
    planned, images = settings.methods(every), every.profile.images
    ((_, steps, _),) = costs(planned, CPU)
    cells = len(settings.cells(every))
    batches = -(-13932 // images.training.batch_size)
    assert steps == cells * images.seeds * images.training.epochs * batches


def test_a_table_that_is_not_there_is_named(quick, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cell, "SETS", tmp_path)
    every = changed(quick, "images", datasets=[])
    assert costs(settings.methods(every), CPU) == []
    assert "breast_cancer" in capfd.readouterr().out


def test_images_of_ones_own_that_are_not_there_are_named(quick, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cell, "SETS", tmp_path)
    every = changed(
        changed(quick, "images", datasets=["cifar10-15k-rebuilt"]), "tabular", datasets=[]
    )
    assert costs(settings.methods(every), CPU) == []
    assert "cifar10-15k-rebuilt" in capfd.readouterr().out


def printed_by(monkeypatch, capsys, every, *arguments):
    monkeypatch.setattr(settings, "load", lambda: every)
    monkeypatch.setattr(Clock, "_measure", lambda *_: 3.6)
    monkeypatch.setattr("sys.argv", ["estimate", *arguments])
    estimate.main()
    return capsys.readouterr().out


def test_it_is_printed_with_the_plan(quick, monkeypatch, capsys):
    printed = printed_by(monkeypatch, capsys, quick)
    assert printed.startswith("profile quick:")
    hours = sum(seconds for *_, seconds in costs(settings.methods(quick), CPU)) / 3600
    assert f"about {hours:,.1f} CPU hours" in printed


def test_a_time_that_is_known_need_not_be_estimated(quick, monkeypatch, capsys):
    profile = quick.profile.model_copy(update={"minutes": None})
    unknown = quick.model_copy(update={"profile": profile})
    assert "hours" not in printed_by(monkeypatch, capsys, quick, "--unmeasured")
    assert "hours" in printed_by(monkeypatch, capsys, unknown, "--unmeasured")


def test_a_real_step_takes_time(quick):
    planned = next(p for p in settings.methods(quick) if p.method.refiner == "calibrated")
    few, count = estimate.few_samples("digits", planned.recipe, 2)
    assert count == 200
    assert len(few.train) == 2 * planned.recipe.training.batch_size
    kind = ("images", "digits", planned.method.model)
    assert 0 < Clock(CPU).step(kind, planned.recipe, few) < 60


def test_pairs_are_timed_with_random_weights(tmp_path, monkeypatch):
    """A step of FLYP and one of SAFLEX on it, on the digits that are embedded."""
    monkeypatch.setattr(cell, "SETS", tmp_path)
    everything = settings.load("quick")
    name = everything.profile.contrastive.datasets[0]
    replication.data.obtain(name, everything.datasets[name], tmp_path / name)
    planned = [
        p
        for p in settings.methods(everything)
        if p.method.experiment == "contrastive"
        and p.method.refiner in ("none", "paper-contrastive")
        and p.recipe.model.differentiable
    ]
    found = costs(planned, CPU)
    assert {kind[2] for kind, _, _ in found} == {"flyp-digits", "flyp-digits-shared"}
    assert all(steps > 0 and seconds > 0 for _, steps, seconds in found)
