"""Pushing one file: whole or not at all, whatever the disk does."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from components import pushing
from components.edge_pusher.push import push
from components.pushing import PushError

OLD, NEW = b"old" * 1000, b"new" * 2000


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_pushes_into_a_folder_made_on_the_way(tmp_path: Path) -> None:
    target = push(NEW, "kws-a", tmp_path / "fleet" / "stable")
    assert target == tmp_path / "fleet" / "stable" / "kws-a.bundle"
    assert target.read_bytes() == NEW
    assert visible(target.parent) == ["kws-a.bundle"]


def test_replaces_and_repeats(tmp_path: Path) -> None:
    for data in (OLD, NEW, NEW):
        assert push(data, "kws-a", tmp_path).read_bytes() == data
    assert visible(tmp_path) == ["kws-a.bundle"]


def test_what_a_killed_push_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".kws-a.bundle.part").write_bytes(b"x" * 100_000)
    assert push(NEW, "kws-a", tmp_path).read_bytes() == NEW
    assert visible(tmp_path) == ["kws-a.bundle"]


def test_disk_full_keeps_the_old_bundle(tmp_path: Path) -> None:
    """A real limit on file size: the kernel itself cuts the write short."""
    push(OLD, "kws-a", tmp_path)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from components.edge_pusher.push import push\n"
        "from components.pushing import PushError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    push(b'new' * 2000, 'kws-a', Path(sys.argv[1]))\n"
        "except PushError as error:\n"
        "    print(error)\n"
        "    sys.exit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.count("\n") == 1
    assert "no space left for 6000 bytes" in done.stdout
    assert (tmp_path / "kws-a.bundle").read_bytes() == OLD
    assert visible(tmp_path) == ["kws-a.bundle"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_full_seen_only_at_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    push(OLD, "kws-a", tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PushError, match="no space left"):
        push(NEW, "kws-a", tmp_path)
    assert (tmp_path / "kws-a.bundle").read_bytes() == OLD
    assert visible(tmp_path) == ["kws-a.bundle"]


def test_a_disk_that_forgets_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(OLD, "kws-a", tmp_path)
    kept = os.fsync

    def forgetful(descriptor: int) -> None:
        os.ftruncate(descriptor, 17)
        kept(descriptor)

    monkeypatch.setattr(os, "fsync", forgetful)
    with pytest.raises(PushError, match="reads back differently"):
        push(NEW, "kws-a", tmp_path)
    assert (tmp_path / "kws-a.bundle").read_bytes() == OLD
    assert visible(tmp_path) == ["kws-a.bundle"]


def test_killed_in_the_middle_shows_nothing(tmp_path: Path) -> None:
    push(OLD, "kws-a", tmp_path)
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from components.edge_pusher.push import push\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "push(b'new' * 2000, 'kws-a', Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "kws-a.bundle").read_bytes() == OLD
    assert [name for name in visible(tmp_path) if not name.startswith(".")] == ["kws-a.bundle"]
    assert push(NEW, "kws-a", tmp_path).read_bytes() == NEW
    assert visible(tmp_path) == ["kws-a.bundle"]


def test_a_reader_never_sees_half(tmp_path: Path) -> None:
    push(OLD, "kws-a", tmp_path)
    seen, stop = set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "kws-a.bundle").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(30):
            push(NEW, "kws-a", tmp_path)
            push(OLD, "kws-a", tmp_path)
    finally:
        stop.set()
        reader.join()
    assert seen <= {OLD, NEW}


def test_destination_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "fleet").write_text("not a folder")
    with pytest.raises(PushError, match="cannot be written") as error:
        push(NEW, "kws-a", tmp_path / "fleet")
    assert str(tmp_path / "fleet") in str(error.value)


def test_another_push_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_LOCK_SECONDS", 0.2)
    with (
        FileLock(tmp_path / ".kws-a.bundle.lock"),
        pytest.raises(PushError, match="another push"),
    ):
        push(NEW, "kws-a", tmp_path)
    assert visible(tmp_path) == []
