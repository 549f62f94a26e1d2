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
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STAGE = "images@quick-images-digits-resnet18-slim-randaugment-{}"
METHOD = ("quick", "images", "digits", "resnet18-slim", "randaugment")
CELLS = Path("results/quick/cells")
yaml = YAML()


def run(folder, *command, check=True, **variables):
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
    environment.pop("SAFLEX_DATA_MIRROR", None)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def edit(folder, change, name="params.yaml"):
    path = folder / name
    content = yaml.load(path.read_text())
    change(content)
    with path.open("w") as file:
        yaml.dump(content, file)


def profile(folder, change):
    edit(folder, change, "profiles/quick.yaml")


def shrink(content):
    content["data"] = ["digits"]
    grid = content["images"]
    grid |= {"models": ["resnet18-slim"], "upstreams": ["randaugment"], "batches": ["augmented"]}
    grid |= {"refiners": ["none", "calibrated"], "seeds": 2, "views": 2}
    grid["clean"] = {"models": ["resnet18-slim"], "refiners": ["none"]}
    grid["training"] |= {"epochs": 2, "batch_size": 50, "validation_batch": 50}
    for experiment in ("tabular", "contrastive", "generated"):
        content[experiment]["datasets"] = []
    toy = content["toy"]
    toy |= {"seeds": 2, "steps": 3, "sigmas": [0.0, 0.5], "test": 60, "grid": 11}
    toy["picture"] |= {"steps": [1, 2]}
    content["tables"] |= {
        "table2": [],
        "table3": [],
        "table4": [],
        "table5": [],
        "further": [],
        "planted": [],
    }


def cells(folder):
    found = (folder / CELLS).glob("*/**/*.json")
    return {str(p.relative_to(folder / CELLS)): p.read_text() for p in found}


def ran(output, refiner):
    return f"Running stage '{STAGE.format(refiner)}'" in output


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A repository with a grid of three cells, reproduced once, two stages at a time."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in ("dvc.yaml", "data.dvc", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("profiles", "data/own"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    profile(folder, shrink)
    edit(folder, lambda params: params["datasets"]["digits"].update(train=100, validation=50))
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run(folder, "git", *author, "commit", "-qm", "start")
    done = run(folder, sys.executable, "-m", "replication.stages.repro", "--jobs", "2")
    assert "11/11" in done.stderr
    return folder


@pytest.fixture
def copy(workspace, tmp_path):
    """The reproduced repository, to be changed at will."""
    folder = tmp_path / "copy"
    shutil.copytree(workspace, folder, symlinks=True)
    return folder


def test_everything_is_there_and_up_to_date(workspace):
    results = workspace / "results/quick"
    assert set(cells(workspace)) == {
        "images/digits/resnet18-slim/none/none/clean.json",
        "images/digits/resnet18-slim/randaugment/none/augmented.json",
        "images/digits/resnet18-slim/randaugment/calibrated/augmented.json",
    }
    for name in ("report.html", "summary.json", "tables/table1", "figures", "cells/toy.json"):
        assert (results / name).exists(), name
    assert "up to date" in run(workspace, "dvc", "status").stdout
    assert "up to date" in run(workspace, "dvc", "repro").stdout


def test_beta_reruns_the_cells_that_use_it_and_shows_in_the_diff(copy):
    """Set from the command line, which must reach readings as well."""
    before = cells(copy)
    lock = (copy / "dvc.lock").read_text()
    rerun = run(copy, "dvc", "exp", "run", "-S", "readings.calibrated.beta=0.5").stdout
    assert ran(rerun, "calibrated")
    assert not ran(rerun, "none")
    assert "Running stage 'views" not in rerun
    after = cells(copy)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"images/digits/resnet18-slim/randaugment/calibrated/augmented.json"}
    assert "readings.calibrated.beta" in run(copy, "dvc", "params", "diff").stdout
    assert (copy / "dvc.lock").read_text() != lock


def test_the_profile_can_be_set_from_the_command_line_and_more_seeds_train_the_new_ones(copy):
    before = cells(copy)
    once = run(copy, "dvc", "exp", "run", "-S", "profiles/quick.yaml:images.seeds=3")
    assert ran(once.stdout, "none")
    assert "| 2/2" in once.stderr  # one new seed of two epochs
    for name, text in cells(copy).items():
        old, new = json.loads(before[name])["seeds"], json.loads(text)["seeds"]
        assert new[:2] == old
        assert len(new) == 3


def test_one_stage_after_another_gives_the_same_files_and_lock(copy):
    before, lock = cells(copy), (copy / "dvc.lock").read_text()
    for name in ("results", "checkpoints", "data/sets", "data/views", "data/plan"):
        shutil.rmtree(copy / name)
    run(copy, "dvc", "repro", SAFLEX_JOBS="1")
    assert cells(copy) == before
    assert (copy / "dvc.lock").read_text() == lock


def test_two_at_a_time_a_failing_cell_is_named_and_stays_to_be_run(copy):
    edit(copy, lambda p: p["readings"]["calibrated"].update(epsilon=1e38, how="lookahead"))
    table = (copy / "results/quick/tables/table1/table1.csv").read_text()
    command = (sys.executable, "-m", "replication.stages.repro", "--jobs", "2", "table1")
    done = run(copy, *command, check=False)
    assert done.returncode == 1
    assert "images: digits, resnet18-slim, randaugment, calibrated:" in done.stdout
    assert f"failed: {STAGE.format('calibrated')}" in done.stderr
    assert "Traceback" not in done.stderr
    assert (copy / "results/quick/tables/table1/table1.csv").read_text() == table
    status = run(copy, "dvc", "status").stdout
    assert STAGE.format("calibrated") in status
    assert STAGE.format("none") not in status


def test_a_killed_cell_ends_with_the_same_figures(copy):
    before = cells(copy)
    name = next(n for n in before if "/calibrated/" in n)
    (copy / CELLS / name).unlink()
    shutil.rmtree(copy / "checkpoints")
    command = [sys.executable, "-m", "replication.stages.train", *METHOD, "calibrated"]
    environment = os.environ | {"SAFLEX_JOBS": "1"}
    process = subprocess.Popen(
        command, cwd=copy, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
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
    assert not list((copy / "checkpoints").glob("*/*.pt"))


def test_a_failing_cell_is_named_the_others_go_on_and_its_old_result_stays(copy):
    def change(params):
        params["readings"]["calibrated"] |= {"epsilon": 1e38, "how": "lookahead"}

    edit(copy, change)
    profile(copy, lambda content: content["images"]["training"].update(validation_batch=8))
    before = cells(copy)
    done = run(copy, "dvc", "repro", "-k", check=False)
    assert done.returncode != 0
    assert "images: digits, resnet18-slim, randaugment, calibrated:" in done.stderr
    after = cells(copy)
    failed = "images/digits/resnet18-slim/randaugment/calibrated/augmented.json"
    assert after[failed] == before[failed]
    alone = "images/digits/resnet18-slim/randaugment/none/augmented.json"
    assert after[alone] != before[alone]


def test_a_damaged_embedded_set_is_restored(copy):
    path = copy / "data/embedded/digits/digits.npz"
    path.chmod(0o644)
    path.unlink()
    run(copy, "dvc", "repro", "data.dvc")
    source = copy / "src/replication/data/embedded/digits/digits.npz"
    assert path.read_bytes() == source.read_bytes()


def test_without_a_network_a_download_is_one_clear_paragraph(copy):
    def change(content):
        content["data"] = ["breastmnist"]
        content["images"]["datasets"] = ["breastmnist"]

    profile(copy, change)
    done = run(copy, "dvc", "repro", "data", check=False)
    assert done.returncode != 0
    assert "breastmnist.npz could not be had" in done.stderr
    assert "SAFLEX_DATA_MIRROR" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (copy / "data/sets/breastmnist/breastmnist.npz").exists()


def test_a_table_of_ones_own_is_trained_on_kept_and_watched(copy):
    kinds, answers = ("a", "b", "b"), ("yes", "no")
    rows = [f"{i},{i * i % 7},{kinds[i % 3]},{answers[i % 2]}" for i in range(90)]
    path = copy / "data/own/mine/mine.csv"
    path.parent.mkdir()
    path.write_text("\n".join(["x,z,kind,answer", *rows]))
    text = path.read_bytes()
    own = {"kind": "csv", "own": True, "file": "mine.csv", "target": "answer"}

    def grid(content):
        content["data"] = ["digits", "mine"]
        content["tabular"] |= {"datasets": ["mine"], "models": ["mlp"], "upstreams": ["cutmix"]}
        content["tabular"] |= {"refiners": ["none"], "batches": ["augmented"], "seeds": 1}
        content["tabular"] |= {"clean": {"models": ["trees"], "refiners": ["none"]}}
        content["tabular"]["training"] |= {"epochs": 1}
        content["tables"]["table2"] = ["tabular"]

    edit(copy, lambda params: params["datasets"].update(mine=own))
    profile(copy, grid)
    run(copy, "dvc", "repro", "table2")
    assert {n for n in cells(copy) if n.startswith("tabular/mine/")} == {
        "tabular/mine/mlp/cutmix/none/augmented.json",
        "tabular/mine/trees/none/none/clean.json",
    }
    run(copy, "dvc", "repro")
    assert path.read_bytes() == text
    path.write_text("\n".join(["x,z,kind,answer", *rows[:80]]))
    assert "tabular@" in run(copy, "dvc", "repro", "table2").stdout


def test_settings_that_are_wrong_stop_everything_before_the_first_cell(copy):
    profile(copy, lambda content: content["images"].update(seedz=3))
    done = run(copy, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "profiles/quick.yaml: images.seedz" in done.stderr
    assert "Running stage 'images" not in done.stdout


def test_a_name_never_reaches_a_shell(copy):
    def change(content):
        content["images"]["datasets"] = ["$(touch owned)"]
        content["data"] = ["$(touch owned)"]

    profile(copy, change)
    done = run(copy, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "profiles/quick.yaml: data.0" in done.stderr
    assert not (copy / "owned").exists()
