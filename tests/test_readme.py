"""What the README and the pages of docs/ that it sends its readers to show works."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from replication import settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
USE, TABLES = ((ROOT / "docs" / name).read_text() for name in ("use.md", "tables.md"))


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
    assert set(overrides) == set(re.findall(r"dvc exp run -S (?:(\S+):)?(\S+)", USE))
    assert {file or "params.yaml" for file, _ in overrides} == {
        "params.yaml",
        "profiles/quick.yaml",
    }
    for file, override in overrides:
        apply_overrides(file or "params.yaml", [override])
    after = settings.load()
    assert after.readings["calibrated"].slope == 4 != before.readings["calibrated"].slope
    assert after.profile.images.seeds == 7 != before.profile.images.seeds


def test_every_file_it_names_is_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / name).exists(), name


def test_every_refiner_of_a_profile_is_explained():
    """`...-size25` once for all, and those of the study of readings by their fields."""
    for profile in settings.profiles():
        everything = settings.load(profile)
        refiners = {planned.method.refiner for planned in settings.methods(everything)}
        for name in {re.sub(r"-(size|noise)\d+$", "", refiner) for refiner in refiners}:
            studied = re.match(r"[pzl][dw][ms][01]b[01]", name)
            assert studied or re.search(rf"^\| [^|]*`{name}`[^|]* \|", TABLES, re.M), name


def test_every_profile_is_in_its_table():
    for name in settings.profiles():
        assert f"| `{name}` |" in USE, name


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 150


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name
)
def test_every_command_that_makes_a_table_names_a_profile_that_has_it(page):
    """DVC would run the whole profile instead, and say nothing."""
    command = r"make profile NAME=(\S+)\s+&&\s+dvc\s+repro (\w+)"
    commands = re.findall(command, page.read_text("utf-8"))
    if page.name == "README.md":
        commands += [("quick", name) for name in re.findall(r"\| `dvc repro (\w+)`", TEXT)]
        assert len(commands) > 7
    for profile, name in commands:
        assert getattr(settings.load(profile).profile.tables, name), f"{profile}: {name}"


def test_the_seconds_of_tables_are_the_measured_ones():
    rows = (ROOT / "results" / "benchmarks" / "quick.csv").read_text("utf-8").split()[1:]
    times = {name: int(seconds) for name, seconds in (row.split(",") for row in rows)}
    told = re.search(r"of which (table 1 .*?) \(\[measured\]", TEXT, re.S)[1]
    found = re.findall(r"(table|figure)\s(\d)\s(?:takes\s)?(\d+)", told)
    assert {f"{kind}{number}": int(seconds) for kind, number, seconds in found} == times
