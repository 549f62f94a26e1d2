"""A method's stage: seeds side by side, what it keeps, what it says when it cannot go on."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from replication import settings
from replication.cells import Score, Seed
from replication.stages import train

ROOT = Path(__file__).parents[2]


class Finished:
    """Checkpoints that have some seeds already."""

    def __init__(self, seeds):
        self.seeds = seeds

    def finished(self, seed):
        return record(seed) if seed in self.seeds else None


def record(seed):
    scores = [Score(split="test", weights="final", metric="accuracy", value=0.5)]
    return Seed(seed=seed, scores=scores)


class Work:
    def __init__(self, *seeds):
        self.checkpoints = Finished(seeds)


def test_more_seeds_train_only_the_new_ones(monkeypatch):
    asked = []

    def fake(work, left, jobs):
        asked.extend(left)
        return {key: record(key[1]) for key in left}

    monkeypatch.setattr(train, "_train", fake)
    found = train.train_all([Work(0, 1, 2), Work(0, 2)], 4, 2)
    assert asked == [(0, 3), (1, 1), (1, 3)]
    assert [[seed.seed for seed in cell] for cell in found] == [[0, 1, 2, 3]] * 2


def test_nothing_is_started_where_nothing_is_left(monkeypatch):
    monkeypatch.setattr(train, "_train", lambda *_: pytest.fail("started"))
    assert len(train.train_all([Work(0, 1)], 2, 2)[0]) == 2


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", ""])
def test_a_number_from_the_environment_is_checked(monkeypatch, value):
    monkeypatch.setenv("SAFLEX_JOBS", value)
    with pytest.raises(SystemExit, match="SAFLEX_JOBS: a number >= 1 is expected"):
        train.count("SAFLEX_JOBS", 2)


def test_a_method_that_the_profile_lacks_is_named(monkeypatch):
    command = ["train", "quick", "images", "digits", "resnet18", "randaugment", "none"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="profile quick has no such method: images: digits"):
        train.main()


def test_data_that_are_not_there_are_named_with_the_remedy(monkeypatch, tmp_path):
    for name in ("params.yaml", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    method = next(
        planned.method
        for planned in settings.methods(settings.load("quick"))
        if planned.method.experiment == "tabular"
    )
    monkeypatch.setattr(sys, "argv", ["train", "quick", *vars(method).values()])
    name = method.dataset
    message = rf"tabular: {name}, .*data/sets/{name}.*`dvc repro` brings"
    with pytest.raises(SystemExit, match=message):
        train.main()


CHILD = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from replication.stages.train import _start

class Cell:
    threads = 1

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(1, context, _start, ([Cell()], None))
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_workers_end_with_the_trainer_that_was_killed(tmp_path):
    path = tmp_path / "child.py"
    path.write_text(CHILD)
    parent = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _alive(worker):
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.05)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"
