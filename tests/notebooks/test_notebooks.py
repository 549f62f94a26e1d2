"""Every notebook runs afresh, and is committed with its outputs and no trace of a machine."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from dvc.utils.hydra import apply_overrides
from nbclient import NotebookClient

from replication import settings

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE = re.compile(r"/(home|tmp|root|work|Users|usr|opt|mnt|var)/|[A-Z]:\\\\|site-packages")

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def answers(notebook) -> list[str]:
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    hidden = re.findall(r"<details>(.*?)</details>", text, re.S)
    return [code for answer in hidden for code in re.findall(r"```python\n(.*?)```", answer, re.S)]


def test_committed_notebook_is_executed_in_order_without_warnings(path):
    executed = cells(path)
    assert [c.execution_count for c in executed] == list(range(1, len(executed) + 1))
    for cell in executed:
        setup = cell.execution_count == 1
        assert cell.outputs or setup, f"no output: {cell.source[:60]!r}"
        kinds = {o.get("name", o.output_type) for o in cell.outputs}
        assert not kinds & {"stderr", "error"}


def test_committed_notebook_names_no_machine(path):
    assert not (found := MACHINE.findall(path.read_text(encoding="utf-8"))), found
    assert set(nbformat.read(path, as_version=4).metadata) == {"kernelspec", "language_info"}


def test_every_exercise_has_an_answer_that_runs(path):
    notebook = nbformat.read(path, as_version=4)
    asked = sum(c.source.count("<details>") for c in notebook.cells)
    assert len(answers(notebook)) == asked
    assert asked or "bilevel" not in path.stem


def test_every_experiment_that_it_shows_changes_the_settings(path, tmp_path, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    before = settings.load("quick")
    for override in re.findall(r"dvc exp run -S ([^: ]\S+=\S+)", path.read_text()):
        apply_overrides("params.yaml", [override])
        assert settings.load("quick") != before, override


def test_notebook_runs_afresh(path, tmp_path):
    """In a copy, with the answers to its exercises; settings and results are the repository's."""
    for name in ("params.yaml", "profiles", "results"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.cells += map(nbformat.v4.new_code_cell, answers(notebook))
    place = {"metadata": {"path": str(tmp_path / "notebooks")}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    errors = [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert not errors
