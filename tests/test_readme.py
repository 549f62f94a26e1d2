"""What the README shows works."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from replication import settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_the_loop_trains_a_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(90, 4)
    y = x[:, :3].argmax(1)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    batches = [(x[:50], y[:50], x[50:], y[50:])] * 30
    code = re.search(r"```python\n(.*?)```", TEXT, re.S)[1]
    space = {"model": model, "optimizer": optimizer, "batches": batches}
    exec(code, space)
    model.eval()
    assert (model(x).argmax(1) == y).float().mean() > 0.8


def test_what_it_changes_from_the_command_line_reaches_the_settings(tmp_path, monkeypatch):
    from dvc.utils.hydra import apply_overrides

    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    before = settings.load()
    overrides = re.findall(r"dvc exp run -S (?:(\S+):)?(\S+)", TEXT)
    assert {file or "params.yaml" for file, _ in overrides} == {
        "params.yaml",
        "profiles/quick.yaml",
    }
    for file, override in overrides:
        apply_overrides(file or "params.yaml", [override])
    after = settings.load()
    assert after.readings["paper"].beta == 1 != before.readings["paper"].beta
    assert after.profile.images.seeds == 6 != before.profile.images.seeds


def test_every_file_it_names_is_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / name).exists(), name


def test_every_refiner_it_explains_is_in_the_grid():
    for name in settings.load("quick").profile.images.refiners:
        assert re.search(rf"^\| [^|]*`{name}`[^|]* \|", TEXT, re.M), name


def test_every_profile_is_in_its_table():
    for name in settings.profiles():
        assert f"| `{name}` |" in TEXT, name


@pytest.mark.parametrize("profile", ["small", "planted"])
def test_the_results_it_shows_are_the_committed_ones(profile):
    folder = ROOT / "results" / profile / "tables/glance"
    written = (folder / "readme.md").read_text().strip()
    assert written.replace("### ", "#### ") in TEXT
