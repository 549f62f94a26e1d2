"""The estimate is steps times seconds, summed over the grid, each kind of step timed once."""

from pathlib import Path

import pytest
import torch

from replication import settings
from replication.stages import estimate
from replication.stages.estimate import Clock, costs

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def quick():
    """The default grid on the embedded data."""
    every = settings.load(ROOT / "params.yaml", "quick")
    folder = str(ROOT / "src/replication/data/embedded")
    return every.model_copy(update={"run": every.run.model_copy(update={"folder": folder})})


def test_the_sum_is_over_steps_seeds_and_cells(quick, monkeypatch):
    """With a second for each pass, digits' 200 samples in batches of 50 are counted by hand."""
    monkeypatch.setattr(Clock, "_measure", lambda *_: 1.0)
    images = quick.run.images
    family, name, model, steps, seconds = costs(quick, CPU)[0]
    assert (family, name, model) == ("images", "digits", "resnet18-slim")
    pairs = len(images.upstreams) * len(images.refiners)
    cells = len(images.clean_refiners) + pairs * len(images.batches)
    assert steps == cells * images.seeds * images.training.epochs * 4
    assert seconds == steps + pairs * images.seeds * images.training.epochs * 4


def test_steps_that_do_the_same_work_are_timed_once(quick, monkeypatch):
    timed = []

    def measure(clock, cell, few, refiner):
        timed.append((cell["dataset"], cell["model"], cell["refiner"]))
        return 1.0

    monkeypatch.setattr(Clock, "_measure", measure)
    costs(quick, CPU)
    images = [refiner for dataset, _, refiner in timed if dataset == "digits"]
    assert images == ["none", "paper", "calibrated"]


def test_a_set_that_is_not_there_is_stood_in_for(quick, tmp_path, monkeypatch):
    images = quick.run.images.model_copy(update={"datasets": ["organsmnist"]})
    tabular = quick.run.tabular.model_copy(update={"datasets": []})
    update = {"folder": str(tmp_path), "images": images, "tabular": tabular}
    every = quick.model_copy(update={"run": quick.run.model_copy(update=update)})
    monkeypatch.setattr(Clock, "_measure", lambda *_: 1.0)
    ((_, _, _, steps, _),) = costs(every, CPU)
    cells = len(settings.expected_cells(every))
    assert steps == cells * images.seeds * images.training.epochs * -(-13932 // 50)


def test_a_table_that_is_not_there_is_named(quick, tmp_path, capfd):
    update = {
        "folder": str(tmp_path),
        "images": quick.run.images.model_copy(update={"datasets": []}),
    }
    every = quick.model_copy(update={"run": quick.run.model_copy(update=update)})
    assert costs(every, CPU) == []
    assert "wine" in capfd.readouterr().out


def printed_by(monkeypatch, capsys, every, *arguments):
    monkeypatch.setattr(settings, "load", lambda: every)
    monkeypatch.setattr(Clock, "_measure", lambda *_: 3.6)
    monkeypatch.setattr("sys.argv", ["estimate", *arguments])
    estimate.main()
    return capsys.readouterr().out


def test_it_is_printed_with_the_plan(quick, monkeypatch, capsys):
    printed = printed_by(monkeypatch, capsys, quick)
    assert printed.startswith("profile quick:")
    hours = sum(cost[4] for cost in costs(quick, CPU)) / 3600
    assert f"about {hours:,.1f} CPU hours" in printed


def test_a_time_that_is_known_need_not_be_estimated(quick, monkeypatch, capsys):
    unknown = quick.model_copy(update={"run": quick.run.model_copy(update={"minutes": None})})
    assert "hours" not in printed_by(monkeypatch, capsys, quick, "--unmeasured")
    assert "hours" in printed_by(monkeypatch, capsys, unknown, "--unmeasured")


def test_a_real_step_takes_time(quick):
    few, count = estimate._few(quick, "images", "digits", "resnet18-slim", 2)
    assert count == 200
    assert len(few.train) == 100
    cell = next(c for c in settings.expected_cells(quick) if c["refiner"] == "calibrated")
    assert 0 < Clock(quick, CPU).step(cell, few) < 60
