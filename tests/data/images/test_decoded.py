"""The file of decoded pictures: read where it is whole, and otherwise written again."""

import errno
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.images import decoded as module
from replication.data.images.decoded import decoded, place


def pictures(calls):
    def made():
        calls.append(len(calls))
        for i in range(3):
            yield i, Image.new("RGB", (6, 6), (40 * i, 0, 0))

    return made


def test_it_is_decoded_once(tmp_path):
    calls, path = [], tmp_path / "kept" / "a.npy"
    for _ in range(2):
        images = decoded(path, 3, 4, pictures(calls))
        assert images[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert len(calls) == 1


@pytest.mark.parametrize("left", [0, 5, 40, 130, -1])
def test_a_file_that_was_cut_short_is_written_again(tmp_path, left):
    calls, path = [], tmp_path / "a.npy"
    whole = np.array(decoded(path, 3, 4, pictures(calls)))
    path.write_bytes(path.read_bytes()[:left])
    assert (decoded(path, 3, 4, pictures(calls)) == whole).all()
    assert len(calls) == 2


@pytest.mark.parametrize("other", [np.zeros((2, 3, 4, 4), np.uint8), np.zeros((3, 3, 4, 4))])
def test_a_file_of_other_images_is_written_again(tmp_path, other):
    path = tmp_path / "a.npy"
    np.save(path, other)
    assert decoded(path, 3, 4, pictures([]))[2, 0].max() == 80


def test_a_full_disk_is_an_error_that_says_so(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, chunk):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda path, mode: Full(str(path), mode))
    with pytest.raises(OSError, match=r"a\.npy could not be written .*Free disk space"):
        decoded(tmp_path / "a.npy", 3, 4, pictures([]))
    assert list(tmp_path.iterdir()) == []


def test_what_other_code_or_another_archive_made_is_not_found(tmp_path, monkeypatch):
    archive, known = tmp_path / "cub.tar", set()
    for content, code in ((b"a", b"1"), (b"b", b"1"), (b"b", b"2")):
        archive.write_bytes(content)
        for name in ("decoded.py", "pictures.py"):
            (tmp_path / name).write_bytes(code)
        monkeypatch.setattr(module, "__file__", str(tmp_path / "decoded.py"))
        known.add(place(tmp_path / "sets/cub", "cub", archive, 64))
    assert len(known) == 3
    assert {path.parent for path in known} == {tmp_path / "sets/.unpacked"}
