"""Killed at random moments, again and again, a cell ends with the same file, byte for byte."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
METHODS = {
    "tabular": ("quick", "tabular", "breast_cancer", "mlp", "cutmix", "calibrated"),
    "images": ("quick", "images", "digits", "resnet18-slim", "randaugment", "permuted"),
}
EVERY_EPOCH = (
    "from replication.stages import train; from replication.training import loop; "
    "loop.SAVE_EVERY = -1.0; train.main()"
)
yaml = YAML(typ="safe")


def shrink(profile):
    for name in METHODS:
        grid = profile[name]
        grid |= {"seeds": 2, "refiners": ["none", METHODS[name][-1]]}
        grid["training"] |= {"epochs": 6, "select": "best"}
        grid |= {"models": [METHODS[name][3]], "upstreams": [METHODS[name][4]]}
    profile["images"] |= {"views": 2}


def start(folder, *command):
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
    return subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(folder, *command):
    """How long the command took."""
    began, process = time.monotonic(), start(folder, *command)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return time.monotonic() - began


def kill(folder, after, alone, *command):
    process = start(folder, *command)
    time.sleep(after)
    if process.poll() is None:
        process.kill() if alone else os.killpg(process.pid, signal.SIGKILL)
    process.stderr.close()
    process.wait()


def results(folder):
    found = sorted((folder / "results").rglob("*"))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if path.is_file() and "provenance" not in path.parts
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small copy of the repository with data and views, and nothing trained."""
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("dvc.yaml", "data.dvc", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("profiles", "data/own"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    (folder / ".dvc").mkdir()
    config = (ROOT / ".dvc/config").read_text()
    (folder / ".dvc/config").write_text(config.replace("[core]", "[core]\n    no_scm = true"))
    path = folder / "profiles/quick.yaml"
    profile = yaml.load(path.read_text())
    shrink(profile)
    with path.open("w") as file:
        yaml.dump(profile, file)
    for name in ("digits", "breast_cancer"):
        finish(folder, sys.executable, "-m", "replication.stages.data", "quick", name)
    method = METHODS["images"][1:3] + METHODS["images"][4:5]
    finish(folder, sys.executable, "-m", "replication.stages.views", "quick", *method)
    return folder


def commands(kind):
    how, method = kind.split()
    if how == "dvc":
        stage = f"{method}@{'-'.join(METHODS[method])}"
        return ["dvc", "repro", stage]
    return [sys.executable, "-c", EVERY_EPOCH, *METHODS[method]]


@pytest.fixture(scope="module", params=["train tabular", "train images", "dvc tabular"])
def whole(request, prepared, tmp_path_factory):
    """A command, its results where it was not interrupted, and how long it took."""
    folder = tmp_path_factory.mktemp("whole") / "copy"
    shutil.copytree(prepared, folder, symlinks=True)
    command = commands(request.param)
    seconds = finish(folder, *command)
    assert len(results(folder)) == 2
    return command, results(folder), seconds


@pytest.mark.parametrize("number", range(6))
def test_a_killed_cell_ends_with_the_same_file(prepared, whole, tmp_path, number):
    command, expected, seconds = whole
    folder, moments = tmp_path / "copy", random.Random(number)
    shutil.copytree(prepared, folder, symlinks=True)
    for _ in range(moments.randint(1, 3)):
        kill(folder, moments.uniform(0.2, 1) * seconds, moments.random() < 0.5, *command)
        assert all(expected.get(name) == data for name, data in results(folder).items())
    finish(folder, *command)
    assert results(folder) == expected
    assert not list((folder / "checkpoints").rglob("*.pt"))
