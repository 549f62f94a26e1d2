"""The benchmarks run and write what they promise; what they time is not asserted."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(name, out, *arguments, cwd=ROOT):
    command = [sys.executable, FOLDER / name, *map(str, arguments), "--out", out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return read(out if out.suffix else out / f"{Path(name).stem}.csv")


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_overhead(tmp_path):
    variants = ["exact", "look-ahead", "head", "posterior", "unroll"]
    found = rows(
        "overhead.py", tmp_path / "o.csv", "--models", "mlp", "--rounds", 1, "--steps", 1,
        "--batch", 8, "--shares", 4, "--no-memory", "--variants", *variants,
    )  # fmt: skip
    assert [row["variant"] for row in found] == ["plain", *variants]
    assert [int(row["validation"]) for row in found] == [0, 2, 2, 2, 2, 2]
    assert all(float(row["ms"]) > 0 for row in found)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux's way to ask")
def test_peak_memory_is_that_of_the_steps_and_not_of_who_asks():
    overhead = load("overhead")
    held = torch.ones(2**27)  # 512 MiB
    small, large = (overhead.memory("mlp", "plain", batch, 1, 1) for batch in (8, 2**15))
    assert 0 <= small < 80 < large < held.nbytes / 2**20


def test_model_size(tmp_path):
    found = rows(
        "model_size.py", tmp_path, "--depths", "ResNet-18", "--widths", 8, "--rounds", 1,
        "--batch", 4,
    )  # fmt: skip
    assert {row["variant"] for row in found} >= {"look-ahead", "exact", "head"}
    assert (tmp_path / "model_size.png").stat().st_size > 1000


def test_training(tmp_path):
    found = rows(
        "training.py", tmp_path / "t.csv", "--models", "resnet18-strided", "--rounds", 1,
        "--steps", 1, "--device", "cpu",
    )  # fmt: skip
    assert found[0]["loop"] == "reference"
    assert len(found) == 5
    assert all(int(row["images_per_second"]) > 0 for row in found)


def test_upstream(tmp_path):
    found = rows("upstream.py", tmp_path, "--rounds", 1)
    assert [int(row["channels"]) for row in found] == [1] * 5 + [3] * 5
    assert all(int(row["images_per_second"]) > 0 for row in found)


def test_tabular(tmp_path):
    """In a folder of its own, since the data are put where the pipeline reads them."""
    for name in ("params.yaml", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    found = rows(
        "tabular.py", tmp_path / "t.csv", "--dataset", "breast_cancer", "--seeds", 2,
        "--epochs", 2, "--rounds", 1, cwd=tmp_path,
    )  # fmt: skip
    speed = [row for row in found if row["measured"] == "speed"]
    assert len(speed) == len(found) - len(speed) == 6
    assert max(float(row["auroc_gap"]) for row in speed) < 1e-3
    assert all(float(row["milliseconds"]) > 0 for row in found)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"params.yaml", "profiles", "data", "t.csv"}


def test_bilevel_gap(tmp_path, monkeypatch, capsys):
    bilevel_gap = load("bilevel_gap")
    few = {"SEEDS": range(2), "BILEVEL_SEEDS": range(1), "ALPHAS": (0.1, 0.3)}
    for name, value in few.items():
        monkeypatch.setattr(bilevel_gap, name, value)
    monkeypatch.setattr(sys, "argv", ["bilevel_gap.py", "--out", str(tmp_path)])
    bilevel_gap.main()
    best = [row for row in read(tmp_path / "bilevel_gap.csv") if row["method"] == "best"]
    assert {row["study"] for row in best} == {"steps", "bilevel"}
    assert all(float(row["captured"]) == pytest.approx(1) for row in best)
    assert "The bilevel problem, 16 features" in capsys.readouterr().out
    assert (tmp_path / "bilevel_gap.png").stat().st_size > 1000


def test_contrastive(tmp_path):
    found = rows(
        "contrastive.py", tmp_path / "c.csv", "--architecture", "ViT-S-32-alt", "--batch", 2,
        "--rounds", 1, "--steps", 1, "--no-memory", "--variants", "plain", "look-ahead",
    )  # fmt: skip
    assert [row["variant"] for row in found] == ["plain", "look-ahead"]
    assert all(float(row["ms"]) > 0 for row in found)
    plain, refined = (float(row["gflop"]) for row in found)
    passes = 3 + 3 + 2  # forward and backward of pairs and of validation pairs, two forward
    assert refined / plain == pytest.approx(passes / 3, rel=0.02)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux's way to ask")
def test_the_peak_of_a_process_is_not_that_of_the_one_that_made_it():
    held = torch.ones(2**27)  # 512 MiB
    command = [sys.executable, "-c", "import memory; print(memory.resident(peak=True))"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < 100 < held.nbytes / 2**20
