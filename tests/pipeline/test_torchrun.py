"""Fine-tuning by `torchrun` with two processes ends where one process does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from replication import cells, settings
from replication.models.pairs import network
from replication.models.pairs.weights import save
from replication.stages import train
from replication.training import cell
from replication.training.problems.contrastive import WEIGHTS

ROOT = Path(__file__).parents[2]
METHOD = ("contrastive", "digits-styles", "flyp-digits", "unaltered", "calibrated-contrastive")
yaml = YAML()


def edit(path, change):
    content = yaml.load(path.read_text())
    change(content)
    with path.open("w") as file:
        yaml.dump(content, file)


def define(params):
    """Nothing is drawn for single samples, which each process does for its own: no augmentation,
    one template. The classes of a batch are the same in both halves of it."""
    params["datasets"]["digits-styles"] |= {"pretraining": 1500, "train": 60, "validation": 40}
    params["datasets"]["digits-styles"] |= {"templates": ["a photo of a {}"], "ood": ["bold"]}
    params["upstreams"]["unaltered"] = {"kind": "crop", "label": "whole", "sigma": 1e-9}


def choose(profile):
    grid = profile["contrastive"]
    grid |= {"upstreams": ["unaltered"], "refiners": ["none", METHOD[-1]], "seeds": 1}
    grid["clean"] = {"models": ["flyp-digits"], "refiners": ["none"]}
    grid["training"] |= {"epochs": 2, "batch_size": 20, "validation_batch": 20, "warmup": 1}
    grid["training"] |= {"coefficients": [0.0, 1.0], "device": "cpu"}


@pytest.fixture
def method(tmp_path, monkeypatch):
    """A method whose data are there, and its network with random weights, in the current folder."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    edit(tmp_path / "params.yaml", define)
    edit(tmp_path / "profiles/quick.yaml", choose)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAFLEX_JOBS", "1")
    source = ROOT / "src/replication/data/embedded/digits"
    shutil.copytree(source, Path("data/sets/digits-styles"))
    planned = settings.methods(settings.load("quick"))
    found = next(p for p in planned if tuple(vars(p.method).values()) == METHOD)
    folder = cell.pretrained("quick", "digits-styles", found.recipe.model.network)
    torch.manual_seed(0)
    save(network.build(found.recipe.network).model, folder / WEIGHTS)
    return found


def losses(found):
    """Before training and after it, on every split."""
    (seed,) = found.seeds
    weights = [s for s in seed.scores if s.metric == "loss" and s.weights == "interpolated"]
    assert len(weights) == 6
    return [[s.value for s in weights if s.coefficient == of] for of in (0.0, 1.0)]


def test_two_processes_train_a_method_as_one_does(method):
    ((alone, _),) = train.results(method, "quick")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "replication.stages.train", "quick"]
    done = subprocess.run([*command, *METHOD], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    together = cells.result(alone.cell, "quick")
    assert len(list(Path("checkpoints").glob("*/seed-0.json"))) == 2  # none was taken over
    before, after = losses(alone)
    assert losses(together)[0] == pytest.approx(before, rel=1e-5)
    moved = min(abs(a - b) for a, b in zip(before, after, strict=True))
    assert losses(together)[1] == pytest.approx(after, abs=moved / 20)
