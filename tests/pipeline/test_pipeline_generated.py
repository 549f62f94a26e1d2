"""Table 3 under DVC, from tiny diffusion models with random weights to the table."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from replication.files import read_json

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/upstream/diffusion"))
from made_makers import save  # noqa: E402

BIN = Path(sys.executable).parent
UPSTREAMS = ("text2img", "instructpix2pix", "img2img", "img2img-finetuned")
DATASET = "digits-lookalikes"
STAGE = ("-m", "replication.stages.generate", "quick", "generated", DATASET, "img2img")
GENERATE = (sys.executable, *STAGE)
MADE = Path("data/generated/quick") / DATASET
yaml = YAML()


def run(folder, *command, check=True):
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def edit(path, change):
    content = yaml.load(path.read_text())
    change(content)
    with path.open("w") as file:
        yaml.dump(content, file)


def define(params, weights):
    """The four upstreams of `full`, on digits and with weights of ours."""
    params["datasets"][DATASET].update(train=8, validation=8)
    for name in ("stable-diffusion", "stable-diffusion-finetuned", "instruct-pix2pix"):
        of = "instruct-pix2pix" if name == "instruct-pix2pix" else "stable-diffusion"
        params["generators"][name].update(repository=str(weights[of]), revision=None, side=16)
    params["generators"]["stable-diffusion-finetuned"]["training"].update(epochs=1, rank=2)
    for name in UPSTREAMS:
        entry = params["upstreams"][name]
        entry.update(steps=2, prompts={DATASET: ['a "{}"', "{} — été 🐦"]})
        if "strength" in entry:
            entry["strength"] = {DATASET: 0.6}


def choose(profile):
    grid = profile["generated"]
    grid.update(datasets=[DATASET], upstreams=[*UPSTREAMS], refiners=["none", "paper", "filtered"])
    grid["controlled"] = {"upstreams": [], "refiners": []}
    grid["generators"] = ["stable-diffusion", "stable-diffusion-finetuned", "instruct-pix2pix"]
    grid.update(sheets=["paper"], seeds=2, copies=1, batch=4)
    grid["judging"].update(epochs=2)
    grid["training"].update(epochs=2, batch_size=8, validation_batch=8)
    for name in ("images", "tabular", "contrastive"):
        profile[name]["datasets"] = []
    profile["data"] = [DATASET]
    del profile["toy"]
    profile["tables"] = {name: [] for name in profile["tables"]} | {"table3": ["generated"]}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A repository in which table3 was reproduced, two stages at a time."""
    folder = tmp_path_factory.mktemp("workspace")
    weights = {
        kind: save(tmp_path_factory.mktemp(kind) / "all", kind)
        for kind in ("stable-diffusion", "instruct-pix2pix")
    }
    for name in ("dvc.yaml", "data.dvc", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("profiles", "data/own", "src"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    edit(folder / "params.yaml", lambda params: define(params, weights))
    edit(folder / "profiles/quick.yaml", choose)
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "start")):
        run(folder, "git", *command)
    run(folder, sys.executable, "-m", "replication.stages.repro", "--jobs", "2", "table3")
    return folder


def contents(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if "journal" not in name}


def test_every_upstream_ends_in_the_table(workspace):
    text = (workspace / "results/quick/tables/table3/table3.md").read_text()
    for label in ("Text2Img", "InstructPix2Pix", "Img2Img", "Img2Img, fine-tuned"):
        assert f"{label}, clean + augmented" in text
        assert f"| {label} | 8 |" in text
    assert "not run" not in text.split("difference to the upstream")[0]
    sheets = workspace / "results/quick/tables/table3" / f"table3-{DATASET}-paper-sheet.png"
    assert sheets.stat().st_size > 1000
    assert "up to date" in run(workspace, "dvc", "repro", "table3").stdout


def test_a_manifest_names_weights_and_prompts(workspace):
    of = {name: read_json(workspace / MADE / name / "manifest.json") for name in UPSTREAMS}
    revisions = {name: {i["revision"] for i in m["images"]} for name, m in of.items()}
    assert all(len(found) == 1 for found in revisions.values())
    assert revisions["img2img"] == revisions["text2img"]
    (tuned,), (plain,) = revisions["img2img-finetuned"], revisions["img2img"]
    assert tuned.startswith(f"{plain} md5:")
    prompts = {image["prompt"] for image in of["img2img"]["images"]}
    assert prompts <= {f'a "{k}"' for k in "1389"} | {f"{k} — été 🐦" for k in "1389"}


@pytest.mark.parametrize("seconds", [0.5, 6, 9])
def test_generation_that_was_killed_ends_with_the_same_bytes(workspace, tmp_path, seconds):
    folder = tmp_path / "copy"
    shutil.copytree(workspace, folder, symlinks=True)
    before = contents(folder / MADE / "img2img")
    shutil.rmtree(folder / MADE / "img2img")
    process = subprocess.Popen(
        GENERATE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(folder, *GENERATE)
    assert contents(folder / MADE / "img2img") == before


def test_an_image_that_was_truncated_is_named_by_the_next_stage(workspace, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(workspace, folder, symlinks=True)
    victim = next((folder / MADE / "img2img/train").iterdir())
    victim.write_bytes(victim.read_bytes()[:30])
    command = [sys.executable, "-m", "replication.stages.judged", *STAGE[2:]]
    failed = run(folder, *command, check=False)
    assert failed.returncode == 1
    assert f"{victim.name}: missing, damaged or of other settings" in failed.stderr
    assert "Traceback" not in failed.stderr
    run(folder, *GENERATE)
    assert "img2img: of 8 images" in run(folder, *command).stdout
