"""Mirror first, publisher next; nothing wrong is accepted or left behind."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from functools import partial

import pytest

from replication.data import sources
from replication.data.download import MIRROR, fetch, obtain
from replication.data.sources import PACKAGED, SOURCES, DataError, Source, origin, published
from replication.files import checksums
from replication.settings.datasets import CSV, Digits, MedMNIST, Table

CONTENT = b"not really images" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def served(tmp_path):
    """A publisher on this machine: a folder and its address."""
    folder = tmp_path / "publisher"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=folder)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def one(address: str) -> Source:
    return Source("set.npz", address, MD5, "CC BY 4.0", "medmnist")


def test_from_the_publisher(tmp_path, served, monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    (served[0] / "set.npz").write_bytes(CONTENT)
    path = fetch(one(f"{served[1]}/set.npz"), tmp_path / "raw")
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["set.npz"]


def test_a_download_that_ends_early_says_so(tmp_path, monkeypatch):
    class Short(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"the beginning")

        def log_message(self, *_):
            pass

    monkeypatch.delenv(MIRROR, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Short) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/set.npz"
        with pytest.raises(DataError, match="13 of 1,000,000 bytes"):
            fetch(one(address), tmp_path / "raw")
        server.shutdown()
    assert not list((tmp_path / "raw").iterdir())


@pytest.mark.parametrize("layout", ["medmnist", "."])
def test_the_mirror_comes_first(tmp_path, monkeypatch, layout):
    (tmp_path / "mirror" / layout).mkdir(parents=True)
    (tmp_path / "mirror" / layout / "set.npz").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    assert fetch(one("http://127.0.0.1:9/set.npz"), tmp_path).read_bytes() == CONTENT


def test_the_mirror_may_be_an_address(tmp_path, served, monkeypatch):
    (served[0] / "medmnist").mkdir()
    (served[0] / "medmnist" / "set.npz").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, served[1])
    assert fetch(one("http://127.0.0.1:9/set.npz"), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [CONTENT[:-1], b"", b"<html>gone</html>"])
def test_a_wrong_mirror_file_is_named_and_the_publisher_asked(tmp_path, served, monkeypatch, wrong):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "set.npz").write_bytes(wrong)
    (served[0] / "set.npz").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, str(mirror))
    assert fetch(one(f"{served[1]}/set.npz"), tmp_path / "raw").read_bytes() == CONTENT

    (served[0] / "set.npz").write_bytes(wrong)
    with pytest.raises(DataError) as caught:
        fetch(one(f"{served[1]}/set.npz"), tmp_path / "other")
    for part in (str(mirror), served[1], MD5, str(tmp_path / "other" / "set.npz"), MIRROR):
        assert part in str(caught.value)
    assert list((tmp_path / "other").iterdir()) == []


def test_a_web_page_and_a_folder_are_no_data(tmp_path, monkeypatch):
    (tmp_path / "mirror" / "set.npz").mkdir(parents=True)
    page = tmp_path / "page"
    page.write_text("\n<!DOCTYPE html>back soon")
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    source = one(page.as_uri())
    with pytest.raises(DataError, match="a web page came in place of the data"):
        fetch(source, tmp_path / "raw")
    assert not list((tmp_path / "raw").iterdir())


def test_no_network_is_one_paragraph(tmp_path, monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    with pytest.raises(DataError) as caught:
        fetch(one("http://127.0.0.1:9/set.npz"), tmp_path)
    message = str(caught.value)
    assert "127.0.0.1:9" in message
    assert str(tmp_path / "set.npz") in message
    assert "Traceback" not in message


def test_a_right_file_is_not_fetched_again_and_a_damaged_one_is(tmp_path, served, monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    (tmp_path / "set.npz").write_bytes(CONTENT)
    fetch(one("http://127.0.0.1:9/set.npz"), tmp_path)
    (tmp_path / "set.npz").write_bytes(CONTENT[:100])
    (served[0] / "set.npz").write_bytes(CONTENT)
    assert fetch(one(f"{served[1]}/set.npz"), tmp_path).read_bytes() == CONTENT


def test_a_mirror_of_any_kind_ends_in_no_traceback_and_the_publisher_is_asked(
    tmp_path, served, monkeypatch
):
    (served[0] / "set.npz").write_bytes(CONTENT)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes/set.npz")
    (tmp_path / "links/medmnist").mkdir(parents=True)
    (tmp_path / "links/medmnist/set.npz").symlink_to(tmp_path / "links/medmnist/set.npz")
    strange = ["nosuch://place", "http://[half", "http://127.0.0.1:9", "\x01", "~nobody"]
    mirrors = [str(tmp_path / name) for name in ("file", "loop", "pipes", "links", "none")]
    for number, mirror in enumerate([*mirrors, *strange, "/dev", "/proc/1"]):
        monkeypatch.setenv(MIRROR, mirror)
        folder = tmp_path / f"raw{number}"
        assert fetch(one(f"{served[1]}/set.npz"), folder).read_bytes() == CONTENT
        with pytest.raises(DataError) as caught:
            fetch(one(f"{served[1]}/other.npz"), folder / "other")
        assert str(caught.value).count(f"{mirror.rstrip('/')}/") >= 2
        assert not list((folder / "other").iterdir())


def test_an_unreadable_mirror_is_not_taken_for_an_unwritable_folder(tmp_path, served, monkeypatch):
    (served[0] / "set.npz").write_bytes(CONTENT)
    (tmp_path / "set.npz").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, str(tmp_path))

    def denied(address, *_):
        raise PermissionError(13, "Permission denied", address)

    monkeypatch.setattr("replication.data.download.open", denied, raising=False)
    assert fetch(one(f"{served[1]}/set.npz"), tmp_path / "raw").read_bytes() == CONTENT
    with pytest.raises(DataError, match="Permission denied"):
        fetch(one(f"{served[1]}/none.npz"), tmp_path / "other")


@pytest.mark.parametrize("length", [True, False])
def test_a_body_beyond_the_limit_is_refused_while_it_comes(tmp_path, monkeypatch, length):
    sent = []

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            if length:
                self.send_header("Content-Length", "1000000000")
            self.end_headers()
            try:
                for _ in range(200):
                    self.wfile.write(bytes(2**20))
                    sent.append(1)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    monkeypatch.delenv(MIRROR, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/set.npz"
        source = Source("set.npz", address, MD5, "CC BY 4.0", limit=3 * 2**20)
        with pytest.raises(DataError, match="more than 3,145,728 bytes"):
            fetch(source, tmp_path / "raw")
        monkeypatch.setenv("SAFLEX_DATA_LIMIT", "2097152")
        with pytest.raises(DataError, match=r"more than 2,097,152 bytes \(SAFLEX_DATA_LIMIT\)"):
            fetch(source, tmp_path / "raw")
        server.shutdown()
    assert len(sent) < 60
    assert not list((tmp_path / "raw").iterdir())


@pytest.mark.parametrize("place", ["mirror", "sets/unknown"])
def test_a_source_without_a_checksum_is_taken_from_nowhere(tmp_path, monkeypatch, place):
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "a.arff").write_bytes(b"@relation r")
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    source = Source("a.arff", "http://127.0.0.1:9/a.arff", None, "terms")
    with pytest.raises(DataError) as caught:
        fetch(source, tmp_path / "sets/unknown")
    for part in ("no checksum", source.address, "data/own/unknown/", "datasets.unknown"):
        assert part in str(caught.value)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The working folder, and the user's files in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MIRROR, raising=False)
    folder = tmp_path / "data/own/mine"
    folder.mkdir(parents=True)
    (folder / "mine.csv").write_text("a,y\n1,0\n")
    return folder


MINE = CSV(kind="csv", own=True, file="mine.csv", target="y")


def test_own_files_are_copied_and_follow_their_changes(own, tmp_path):
    folder = tmp_path / "data/sets/mine"
    obtain("mine", MINE, folder)
    assert (folder / "mine.csv").read_text() == "a,y\n1,0\n"
    first = origin("mine", MINE)
    assert first == checksums(folder)
    written = (folder / "mine.csv").stat().st_mtime_ns
    (folder / ".mine-x7.csv").write_text("left by a kill")
    (folder / "before.csv").write_text("of another day")
    obtain("mine", MINE, folder)
    assert (folder / "mine.csv").stat().st_mtime_ns == written
    assert [path.name for path in folder.iterdir()] == ["mine.csv"]
    (own / "mine.csv").write_text("a,y\n1,1\n")
    obtain("mine", MINE, folder)
    assert (folder / "mine.csv").read_text() == "a,y\n1,1\n"
    assert origin("mine", MINE) == checksums(folder) != first


def test_a_table_without_a_known_checksum_can_be_ones_own(own, tmp_path):
    place = own.parent / "volkert"
    place.mkdir()
    (place / "volkert.arff").write_text("@relation r")
    folder, source = tmp_path / "data/sets/volkert", Table(kind="table", own=True)
    with pytest.raises(DataError, match="no checksum of it is known"):
        obtain("volkert", Table(kind="table"), folder)
    obtain("volkert", source, folder)
    assert origin("volkert", source) == checksums(folder) == checksums(place)


def test_own_files_that_are_not_there_are_asked_for(own):
    for name, source, message in [
        ("mine", MINE.model_copy(update={"file": "other.csv"}), r"datasets\.mine\.file.*mine\.csv"),
        ("absent", MINE, r"datasets\.absent: own: true.*data/own/absent/"),
        ("nobodys", Table(kind="table"), r"datasets\.nobodys: no publisher.*data/own/nobodys/"),
    ]:
        for act in (
            lambda n=name, s=source: obtain(n, s, own),
            lambda n=name, s=source: origin(n, s),
        ):
            with pytest.raises(DataError, match=message) as caught:
                act()
            assert len(str(caught.value).splitlines()) == 1


def test_embedded_files_are_copied_without_a_network(own, tmp_path):
    source = Digits(kind="digits", train=200, validation=200, split_seed=0)
    folder = tmp_path / "digits"
    obtain("digits", source, folder)
    assert origin("digits", source) == checksums(folder) == checksums(PACKAGED / "digits")
    (folder / "digits.npz").write_bytes(b"damaged")
    obtain("digits", source, folder)
    assert checksums(folder) == checksums(PACKAGED / "digits")


def test_published_files_are_fetched_and_leftovers_go(own, tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "set", (one("http://127.0.0.1:9/set.npz"),))
    source, folder = MedMNIST(kind="medmnist"), tmp_path / "set"
    assert origin("set", source) == {"set.npz": MD5}
    folder.mkdir()
    (folder / ".set-abc.npz").write_bytes(CONTENT)
    with pytest.raises(DataError, match=r"set\.npz could not be had"):
        obtain("set", source, folder)
    assert not list(folder.iterdir())
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/set.npz").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    obtain("set", source, folder)
    assert checksums(folder) == {"set.npz": MD5}


def test_an_origin_is_known_without_torch():
    code = (
        "import sys; from replication import data, settings; s = settings.load()\n"
        "for n, d in s.datasets.items(): d.own or data.origin(n, d)\n"
        "sys.exit(bool({'torch', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_medmnist_sources_are_the_packages_own():
    from medmnist import INFO

    found = {name: files[0] for name, files in SOURCES.items() if files[0].folder == "medmnist"}
    assert len(found) == 11
    for name, source in found.items():
        theirs = INFO[name]
        assert (source.address, source.md5) == (theirs["url"], theirs["MD5"])
        assert (source.file, source.licence) == (f"{name}.npz", theirs["license"])


def test_a_table_with_labels_of_their_own_has_two_files():
    from replication.data.tabular import TABLES

    files = {source.file for source in published("appetency-kdd09")}
    assert len(files) == 2
    assert TABLES["appetency-kdd09"].labels in files
    assert set(TABLES) <= set(sources.SOURCES)
