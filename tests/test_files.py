"""Result files are whole or not there."""

import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest

from replication.files import replacing, write_json, write_text


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "cell.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["cell.json"]


def test_a_full_disk_is_named_with_its_remedy(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "deep" / "cell.json"
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"cell\.json could not be written.*Free disk space"):
        write_json(path, {"a": 1})
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("said", [OSError("8 requested and 5 written"), RuntimeError("pos 3 vs 2")])
def test_a_full_disk_is_named_whatever_a_library_makes_of_it(tmp_path, monkeypatch, said):
    path = tmp_path / "seed.pt"
    for free, expected in (
        (0, "seed.pt could not be written.*Free disk space"),
        (10**9, str(said)),
    ):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with pytest.raises(type(said) if free else OSError, match=expected), replacing(path):
            raise said
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_folder_is_named(tmp_path):
    (tmp_path / "results").write_text("a file in the way")
    with pytest.raises(OSError, match=r"results/cell\.json could not be written"):
        write_json(tmp_path / "results" / "cell.json", {})


def test_other_errors_of_the_writer_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(tmp_path / "x"):
        raise FileNotFoundError("elsewhere")


def test_json_is_sorted_and_strict(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [0.1]})
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["a", "b"]
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "b.json", {"a": float("nan")})
    assert not (tmp_path / "b.json").exists()
