"""Methods on a local Ray cluster: whatever dies, each is there once."""

import os
import signal
import sys
from pathlib import Path

import pytest

from replication.stages import cluster


def test_without_ray_there_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit, match=r"ray is not installed; pip install '.\[cluster\]'"):
        next(cluster.each(str, [1]))


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """Of two cores, started by what is tested; tasks find the modules of this process."""
    found = pytest.importorskip("ray", reason="the extra cluster is not installed")
    begin = found.init

    def init(**options):
        assert "address" not in options
        return begin(num_cpus=2, include_dashboard=False, logging_level="ERROR", **options)

    monkeypatch.setattr(found, "init", init)
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, sys.path)]))
    monkeypatch.chdir(tmp_path)
    return found


def note(item):
    """Tells that it ran, in the folder that it runs in; 3 is killed the first time, 5 fails."""
    runs = Path(f"{item}.runs")
    with runs.open("a") as file:
        file.write("x")
    if item == 3 and len(runs.read_text()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 5:
        raise SystemExit("5: its loss is not finite")
    return 10 * item


def test_a_worker_that_is_killed_loses_nothing_and_nothing_comes_twice(ray, tmp_path):
    found = [*cluster.each(note, [*range(8)])]
    assert sorted(found, key=lambda pair: pair[0]) == [
        (item, "5: its loss is not finite" if item == 5 else 10 * item) for item in range(8)
    ]
    runs = {int(path.stem): len(path.read_text()) for path in tmp_path.glob("*.runs")}
    assert runs == {item: 2 if item == 3 else 1 for item in range(8)}
