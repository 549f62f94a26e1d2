"""Mirror first, publisher next; nothing wrong is accepted or left behind."""

import hashlib
import http.server
import threading
from functools import partial

import pytest

from replication.data.download import MIRROR, DownloadError, fetch
from replication.data.sources import Source, sources

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


def test_a_download_that_ends_early_is_refused_without_a_checksum_too(tmp_path, monkeypatch):
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
        with pytest.raises(DownloadError, match="13 of 1,000,000 bytes"):
            fetch(Source("set.npz", address, None, "CC BY 4.0", "medmnist"), tmp_path / "raw")
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
    with pytest.raises(DownloadError) as caught:
        fetch(one(f"{served[1]}/set.npz"), tmp_path / "other")
    for part in (str(mirror), served[1], MD5, str(tmp_path / "other" / "set.npz"), MIRROR):
        assert part in str(caught.value)
    assert list((tmp_path / "other").iterdir()) == []


def test_a_web_page_and_a_folder_are_no_data_without_a_checksum_too(tmp_path, monkeypatch):
    (tmp_path / "mirror" / "set.npz").mkdir(parents=True)
    page = tmp_path / "page"
    page.write_text("\n<!DOCTYPE html>back soon")
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    source = Source("set.npz", page.as_uri(), None, "CC BY 4.0", "medmnist")
    with pytest.raises(DownloadError, match="a web page came in place of the data"):
        fetch(source, tmp_path / "raw")
    assert not list((tmp_path / "raw").iterdir())


def test_no_network_is_one_paragraph(tmp_path, monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    with pytest.raises(DownloadError) as caught:
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


def test_medmnist_sources_are_the_packages_own():
    (found,) = sources("breastmnist")
    assert (found.file, found.md5) == ("breastmnist.npz", "750601b1f35ba3300ea97c75c52ff8f6")
    with pytest.raises(KeyError):
        sources("nothing")


def test_a_table_with_labels_of_their_own_has_two_files():
    from replication.data.tabular import TABLES

    files = {source.file for source in sources("appetency-kdd09")}
    assert len(files) == 2
    assert TABLES["appetency-kdd09"].labels in files
