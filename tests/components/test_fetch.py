"""Fetching from a local server that breaks off, changes its file, or is not there."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError
from components.fetch import Remote, fetch


class Server(ThreadingHTTPServer):
    """Serves ``content`` with ranges; closes the connection after ``break_after`` bytes a time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = os.urandom(3_000_000)
        self.break_after: int | None = None
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, tag = self.server.content, f'"{hashlib.md5(self.server.content).hexdigest()}"'
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        start = 0
        if asked and self.headers["If-Range"] == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = None if self.server.break_after is None else start + self.server.break_after
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *arguments: Any) -> None:
        """Not into the tests' output."""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.fetch.time.sleep", lambda seconds: None)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def remote(server: Server, sha256: str | None = None) -> dict[str, Remote]:
    return {"data": Remote(server.url, "data.zip", sha256)}


def test_goes_on_where_the_connection_broke(server: Server, tmp_path: Path) -> None:
    server.break_after = 1_250_000
    path = fetch("data", tmp_path, remote(server))
    assert path.read_bytes() == server.content
    assert server.ranges == [None, "bytes=1250000-", "bytes=2500000-"]
    kept = sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith("."))
    assert kept == ["data.zip", "data.zip.sha256"]


def test_a_later_run_continues_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    server.break_after = 0  # nothing more comes: the first run gives up
    tag = f'"{hashlib.md5(server.content).hexdigest()}"'
    (tmp_path / "data.zip.part").write_bytes(server.content[:2_000_000])
    (tmp_path / "data.zip.part.version").write_text(tag)
    with pytest.raises(InputError, match="what came so far is kept"):
        fetch("data", tmp_path, remote(server))
    assert not (tmp_path / "data.zip").exists()
    server.break_after, server.ranges = None, []
    assert fetch("data", tmp_path, remote(server)).read_bytes() == server.content
    assert server.ranges == ["bytes=2000000-"]


def test_a_part_of_another_version_is_not_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(b"old" * 1000)
    (tmp_path / "data.zip.part.version").write_text('"old"')
    assert fetch("data", tmp_path, remote(server)).read_bytes() == server.content


def test_a_part_longer_than_the_file_starts_afresh(server: Server, tmp_path: Path) -> None:
    tag = f'"{hashlib.md5(server.content).hexdigest()}"'
    (tmp_path / "data.zip.part").write_bytes(server.content + b"more")
    (tmp_path / "data.zip.part.version").write_text(tag)
    assert fetch("data", tmp_path, remote(server)).read_bytes() == server.content


def test_fetches_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        fetch("data", tmp_path, remote(server))
    assert len(server.ranges) == 1


def test_a_pinned_checksum_is_enforced(server: Server, tmp_path: Path) -> None:
    right = hashlib.sha256(server.content).hexdigest()
    assert fetch("data", tmp_path / "a", remote(server, right)).exists()
    with pytest.raises(InputError, match="does not have the pinned checksum"):
        fetch("data", tmp_path / "b", remote(server, "0" * 64))
    assert not (tmp_path / "b" / "data.zip").exists()


def test_a_file_that_rots_is_fetched_again_and_one_that_changed_is_refused(
    server: Server, tmp_path: Path
) -> None:
    path = fetch("data", tmp_path, remote(server))
    path.write_bytes(b"rot")
    assert fetch("data", tmp_path, remote(server)).read_bytes() == server.content
    path.write_bytes(b"rot")
    server.content = b"another file"
    with pytest.raises(InputError, match=r"the checksum kept in .*data\.zip\.sha256"):
        fetch("data", tmp_path, remote(server))


def test_a_missing_file_on_the_server_is_one_line(server: Server, tmp_path: Path) -> None:
    server.shutdown()
    catalogue = remote(server)
    server.server_close()
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        fetch("data", tmp_path, catalogue)
    assert "\n" not in str(caught.value)


def test_a_file_too_large_is_called_so(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.fetch._LARGEST", 1 << 20)
    with pytest.raises(InputError, match="larger than"):
        fetch("data", tmp_path, remote(server))
    assert not (tmp_path / "data.zip").exists()


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert fetch(str(tmp_path)) == tmp_path
    with pytest.raises(InputError, match=r"nor a name to fetch .*mini_speech_commands"):
        fetch(str(tmp_path / "absent"))
