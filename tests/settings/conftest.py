"""A copy of the settings, to be changed at will."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


class Copy:
    """params.yaml, profiles/ and dvc.yaml in a folder of their own, the present one."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copytree(ROOT / "profiles", folder / "profiles")
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, folder)

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """The first `old` of a file becomes `new`."""
        assert old in self.text(name), f"{name} has no {old!r}"
        (self.folder / name).write_text(self.text(name).replace(old, new, 1), encoding="utf-8")

    def change(self, name: str, change) -> None:
        content = YAML(typ="safe").load(self.text(name))
        change(content)
        with (self.folder / name).open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(content, file)


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Copy:
    monkeypatch.chdir(tmp_path)
    return Copy(tmp_path)
