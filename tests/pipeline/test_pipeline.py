"""The whole pipeline under DVC, in a small copy: what runs, what reruns, what survives."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CELL = "train-images@quick-digits-resnet18-slim-randaugment-{}"


def run(folder, *command, check=True):
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
    environment.pop("SAFLEX_DATA_MIRROR", None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def edit(folder, change):
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    change(params)
    path.write_text(yaml.safe_dump(params))


def shrink(params):
    grid = params["run"]["images"]
    grid |= {"upstreams": ["randaugment"], "batches": ["augmented"], "seeds": 2, "views": 2}
    grid |= {"refiners": ["none", "calibrated"], "clean_refiners": ["none"]}
    grid["training"] |= {"epochs": 2, "jobs": 1}
    params["run"]["tabular"]["datasets"] = []
    toy = params["run"]["toy"]
    toy |= {"seeds": 2, "steps": 3, "sigmas": [0.0, 0.5], "test": 60, "grid": 11}
    toy["picture"] |= {"steps": [1, 2]}
    params["datasets"]["digits"] |= {"train": 100, "validation": 50}


def cells(folder):
    return {p.stem: p.read_text() for p in (folder / "results/quick/cells").glob("*.json")}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A repository with a grid of three cells, reproduced once."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in ("dvc.yaml", "data.dvc", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    edit(folder, shrink)
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run(folder, "git", *author, "commit", "-qm", "start")
    run(folder, "dvc", "repro")
    return folder


@pytest.fixture
def copy(workspace, tmp_path):
    """The reproduced repository, to be changed at will."""
    folder = tmp_path / "copy"
    shutil.copytree(workspace, folder, symlinks=True)
    return folder


def test_everything_is_there_and_up_to_date(workspace):
    results = workspace / "results/quick"
    assert len(cells(workspace)) == 3
    for name in ("report.html", "summary.json", "tables", "figures", "toy.json"):
        assert (results / name).exists(), name
    assert "up to date" in run(workspace, "dvc", "status").stdout
    assert "up to date" in run(workspace, "dvc", "repro").stdout


def test_beta_reruns_the_cells_that_use_it_and_shows_in_the_diff(copy):
    before = cells(copy)
    lock = (copy / "dvc.lock").read_text()

    def change(params):
        params["readings"]["calibrated"]["beta"] = 0.5

    edit(copy, change)
    rerun = run(copy, "dvc", "repro").stdout
    assert CELL.format("calibrated") in rerun
    assert f"Running stage '{CELL.format('none')}'" not in rerun
    assert "Running stage 'augment" not in rerun
    after = cells(copy)
    changed = {name for name in before if before[name] != after[name]}
    assert {name.rsplit("-", 1)[1] for name in changed} == {"calibrated"}
    assert "calibrated.saflex.beta" in run(copy, "dvc", "params", "diff").stdout
    assert (copy / "dvc.lock").read_text() != lock


def test_the_same_settings_give_the_same_files_and_lock(copy):
    before, lock = cells(copy), (copy / "dvc.lock").read_text()
    shutil.rmtree(copy / "results")
    run(copy, "dvc", "repro")
    assert cells(copy) == before
    assert (copy / "dvc.lock").read_text() == lock


def test_a_killed_cell_ends_with_the_same_figures(copy):
    before = cells(copy)
    name = next(n for n in before if n.endswith("calibrated"))
    (copy / f"results/quick/cells/{name}.json").unlink()
    command = [sys.executable, "-m", "replication.stages.train", "--family", "images"]
    command += ["--dataset", "digits", "--model", "resnet18-slim", "--upstream", "randaugment"]
    command += ["--refiner", "calibrated"]
    process = subprocess.Popen(command, cwd=copy, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((copy / "checkpoints").glob("*/seed-0.json")):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert name not in cells(copy)
    run(copy, *command)
    assert cells(copy) == before
    assert not list((copy / "checkpoints").iterdir())


def test_a_failing_cell_is_named_and_the_others_go_on(copy):
    def change(params):
        params["run"]["images"]["training"]["validation_batch"] = 8
        params["readings"]["calibrated"]["epsilon"] = 1e38
        params["readings"]["calibrated"]["how"] = "lookahead"

    edit(copy, change)
    before = cells(copy)
    done = run(copy, "dvc", "repro", "-k", check=False)
    assert done.returncode != 0
    assert "cell digits-resnet18-slim-randaugment-calibrated:" in done.stderr
    after = cells(copy)
    name = "digits-resnet18-slim-randaugment-none"
    assert json.loads(after[name]) != json.loads(before[name])


def test_a_damaged_embedded_set_is_restored(copy):
    path = copy / "data/embedded/digits/digits.npz"
    path.chmod(0o644)
    path.unlink()
    run(copy, "dvc", "repro", "data.dvc")
    source = copy / "src/replication/data/embedded/digits/digits.npz"
    assert path.read_bytes() == source.read_bytes()


def test_without_a_network_a_download_is_one_clear_paragraph(copy):
    def change(params):
        params["run"] |= {"downloads": ["breastmnist"], "folder": "data/raw"}

    edit(copy, change)
    done = run(copy, "dvc", "repro", "download", check=False)
    assert done.returncode != 0
    assert "breastmnist.npz could not be had" in done.stderr
    assert "SAFLEX_DATA_MIRROR" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (copy / "data/raw/breastmnist/breastmnist.npz").exists()
