"""Every notebook runs afresh, and is committed with its outputs and no trace of a machine."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE = re.compile(r"/(home|tmp|root|work|Users|usr|opt|mnt|var)/|[A-Z]:\\\\|site-packages")

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


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


def test_notebook_runs_afresh(path, tmp_path):
    """In a copy; only the settings are the repository's."""
    for name in ("params.yaml", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    place = {"metadata": {"path": str(tmp_path / "notebooks")}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    errors = [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert not errors
