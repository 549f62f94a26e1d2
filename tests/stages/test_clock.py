"""What stages took, by the table that they are of."""

from pathlib import Path

import pytest

from replication import settings
from replication.stages import clock


@pytest.fixture
def quick(monkeypatch, tmp_path):
    everything = settings.load("quick")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        clock.os, "times", lambda: (9.0, 1.0, 8.0, 2.0, 1e9)
    )  # the last is the hour
    return everything


def test_stages_of_an_experiment_add_up_and_count_once(quick):
    assert clock.of_tables(quick) == {}
    fields = {
        "experiment": "images",
        "dataset": "digits",
        "model": "small-cnn",
        "upstream": "mixup",
    }
    for _ in range(2):
        clock.record("quick", "train", fields)
    clock.record("quick", "views", {"e": "images", "d": "digits", "u": "mixup"})
    clock.record("quick", "train", fields | {"r": "of-yesterday"})
    clock.record("quick", "toy", {"experiment": "toy"})
    found = clock.of_tables(quick)
    assert found == {"table1": 40, "figure2": 20}


def test_every_stage_that_quick_records_is_counted(quick):
    clock.record(
        "quick", "pretrain", {"e": "contrastive", "d": "digits-styles", "n": "clip-digits"}
    )
    clock.record("quick", "sheet", {"e": "generated", "d": "digits-inverted", "r": "posterior"})
    clock.record(
        "quick", "generator", {"e": "generated", "d": "digits-inverted", "g": "unet-digits"}
    )
    assert clock.of_tables(quick) == {
        "table3": 40,
        "table4": 20,
    }


def test_what_is_printed_is_written(quick, monkeypatch, capsys):
    clock.record("quick", "toy", {"experiment": "toy"})
    monkeypatch.setattr(clock, "load", lambda: quick)
    monkeypatch.setattr("sys.argv", ["clock", "--out", "times.csv"])
    clock.main()
    assert capsys.readouterr().out == "CPU seconds of stages that ran here: figure2 20\n"
    assert Path("times.csv").read_text("utf-8") == "table,cpu_seconds\nfigure2,20\n"
