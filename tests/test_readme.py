"""What the README shows works."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

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


def test_what_it_changes_from_the_command_line_reaches_the_settings(tmp_path):
    from dvc.utils.hydra import apply_overrides

    from replication.settings import load

    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text())
    before, override = load(params), re.search(r"dvc exp run -S (run\.images\.seeds=(\d+))", TEXT)
    apply_overrides(str(params), [override[1]])
    assert load(params).run.images.seeds == int(override[2]) != before.run.images.seeds
    assert load(params, "small") == load(ROOT / "params.yaml", "small")


def test_every_file_it_names_is_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / name).exists(), name


def test_every_refiner_it_explains_is_in_the_grid():
    from replication.settings import load

    run = load(ROOT / "params.yaml", "quick").run
    for name in run.images.refiners:
        assert f"| `{name}` |" in TEXT, name


@pytest.mark.parametrize("profile", ["small", "planted"])
def test_the_results_it_shows_are_the_committed_ones(profile):
    written = (ROOT / "results" / profile / "tables/readme.md").read_text().strip()
    assert written.replace("### ", "#### ") in TEXT
