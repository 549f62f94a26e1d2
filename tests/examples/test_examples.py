"""Every example runs, and what it prints is a comparison with intervals."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
GAIN = re.compile(r"^([^:]+): ([+-]\d+\.\d) ± (\d+\.\d) points, paired by seed, 95 % interval$")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_compares(path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    first, *gains = done.stdout.splitlines()
    assert float(re.search(r"(\d+\.\d) % right", first)[1]) > 50  # it has learnt something
    found = {m[1]: float(m[2]) for m in map(GAIN.match, gains)}
    assert {"posterior", "train + validation"} <= found.keys()
    assert found["posterior"] > -5
