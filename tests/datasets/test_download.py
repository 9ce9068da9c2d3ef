"""Downloads from a server on this machine: what fails leaves nothing behind."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rank_plugins.datasets import beir, download, load_beir
from rank_plugins.errors import InputError, StoreError

FILES = {
    "scifact/corpus.jsonl": json.dumps({"_id": "d1", "title": "T", "text": "x" * 300000}) + "\n",
    "scifact/queries.jsonl": json.dumps({"_id": "q1", "text": "what"}) + "\n",
    "scifact/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\n",
}


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serve one content for every path."""

    content = b""
    told = 0  # bytes more than there are
    status = 200
    requests = 0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content) + self.server.told))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("RANK_PLUGINS_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setattr(beir, "URL", f"http://127.0.0.1:{running.server_address[1]}/")
        yield running
        running.shutdown()
        thread.join()


def serve(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = content
    monkeypatch.setitem(beir.BEIR, "scifact", hashlib.md5(content, usedforsecurity=False).hexdigest())


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "beir").iterdir())


def test_a_collection_is_fetched_once(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(server, archive({**FILES, "__MACOSX/junk": "junk"}), monkeypatch)
    for _ in range(2):
        queries, corpus, qrels = load_beir("scifact")
        assert queries == {"q1": "what"}
        assert len(corpus["d1"]["text"]) == 300000
        assert qrels == {"q1": {"d1": 1}}
    assert server.requests == 1
    assert left(tmp_path) == ["scifact"]


def test_a_part_of_a_collection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive({name.replace("scifact", "cqadupstack/android"): text for name, text in FILES.items()})
    server.content = content
    monkeypatch.setitem(beir.BEIR, "cqadupstack", hashlib.md5(content, usedforsecurity=False).hexdigest())
    assert load_beir("cqadupstack/android").queries == {"q1": "what"}
    with pytest.raises(InputError, match="expected a part, cqadupstack/ and one of android, got 'cqadupstack'"):
        load_beir("cqadupstack")


def test_another_content_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = archive(FILES)
    with pytest.raises(
        StoreError, match=r"scifact: expected an archive of MD5 5f7d1de6\w+, got \w+ \(\d+ bytes\) from"
    ):
        load_beir("scifact")
    assert left(tmp_path) == []


def test_a_connection_that_breaks_leaves_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve(server, archive(FILES), monkeypatch)
    server.told = 1000
    server.content = server.content[:-1000]
    with pytest.raises(StoreError, match=r"scifact: (expected an archive of MD5|cannot be downloaded)"):
        load_beir("scifact")
    assert left(tmp_path) == []
    server.told = 0
    serve(server, archive(FILES), monkeypatch)
    assert load_beir("scifact").queries == {"q1": "what"}


def test_no_network_is_said(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(StoreError, match=r"cannot be downloaded from http.*Service Unavailable; without a network"):
        load_beir("scifact")
    server.shutdown()
    server.server_close()
    with pytest.raises(StoreError, match=r"cannot be downloaded from http.*pass the folder"):
        load_beir("scifact")
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["../outside.txt", "/rank-plugins-outside.txt", "scifact/../../../outside.txt"])
def test_an_archive_cannot_write_outside(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    serve(server, archive({**FILES, name: "outside"}), monkeypatch)
    with pytest.raises(StoreError, match="has an entry outside of it"):
        load_beir("scifact")
    assert left(tmp_path) == []
    assert not list(tmp_path.rglob("*outside.txt"))
    assert not Path("/rank-plugins-outside.txt").exists()


def test_links_in_an_archive_are_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    link = zipfile.ZipInfo("scifact/link")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO(archive(FILES))
    with zipfile.ZipFile(buffer, "a") as opened:
        opened.writestr(link, "/etc")
    serve(server, buffer.getvalue(), monkeypatch)
    with pytest.raises(StoreError, match="outside of it, 'scifact/link'"):
        load_beir("scifact")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no archive", "cannot be unpacked"), (archive({"other/corpus.jsonl": ""}), "expected a folder 'scifact'")],
)
def test_an_archive_of_something_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, message: str
) -> None:
    serve(server, content, monkeypatch)
    with pytest.raises(StoreError, match=message):
        load_beir("scifact")
    assert left(tmp_path) == []


def test_many_at_once(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(server, archive(FILES), monkeypatch)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: load_beir("scifact").queries, range(6)))
    assert found == [{"q1": "what"}] * 6
    assert left(tmp_path) == ["scifact"]


def test_a_cache_that_cannot_be_written(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RANK_PLUGINS_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="RANK_PLUGINS_CACHE to another folder"):
        load_beir("scifact")


def test_where_downloads_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RANK_PLUGINS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / "rank-plugins"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".cache" / "rank-plugins"
    monkeypatch.setenv("RANK_PLUGINS_CACHE", "~/own")
    assert download.cache_folder() == tmp_path / "own"
