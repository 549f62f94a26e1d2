"""The benchmarks run and write what they promise; what they time is not asserted."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


def rows(name, out, *arguments):
    command = [sys.executable, FOLDER / name, *map(str, arguments), "--out", out]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    path = out if out.suffix else out / f"{Path(name).stem}.csv"
    with path.open() as file:
        return list(csv.DictReader(file))


def test_overhead(tmp_path):
    variants = ["exact", "look-ahead", "head", "unroll"]
    found = rows(
        "overhead.py", tmp_path / "o.csv", "--models", "mlp", "--rounds", 1, "--steps", 1,
        "--batch", 8, "--shares", 4, "--no-memory", "--variants", *variants,
    )  # fmt: skip
    assert [row["variant"] for row in found] == ["plain", *variants]
    assert [int(row["validation"]) for row in found] == [0, 2, 2, 2, 2]
    assert all(float(row["ms"]) > 0 for row in found)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux's way to ask")
def test_peak_memory_is_that_of_the_steps_and_not_of_who_asks():
    spec = importlib.util.spec_from_file_location("overhead", FOLDER / "overhead.py")
    overhead = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(overhead)
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
