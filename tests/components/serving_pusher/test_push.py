"""Pushing a SavedModel: a version appears whole or not at all, and only when it is new."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.fingerprint import fingerprint
from components.pushing import PushError
from components.serving_pusher.push import push_version


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph" * 1000)
    (folder / "variables" / "variables.index").write_bytes(b"weights" * 1000)
    return folder


def versions(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir() if not path.name.startswith("."))


def test_the_same_model_is_one_version_and_another_one_the_next(
    model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "serving" / "big"
    first = push_version(model, base)
    assert first.parent == base and fingerprint(first) == fingerprint(model)
    assert push_version(model, base) == first

    (model / "saved_model.pb").write_bytes(b"another graph")
    second = push_version(model, base)
    assert int(second.name) > int(first.name)  # in the same second, too
    assert fingerprint(second) == fingerprint(model)
    assert versions(base) == [first.name, second.name]


def test_back_to_an_earlier_model_is_a_new_version(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "big"
    first = push_version(model, base)
    kept = tmp_path / "kept"
    shutil.copytree(model, kept)
    (model / "saved_model.pb").write_bytes(b"another graph")
    second = push_version(model, base)
    third = push_version(kept, base)
    assert versions(base) == [first.name, second.name, third.name]
    assert fingerprint(third) == fingerprint(first)


def test_killed_in_the_middle_shows_nothing(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "big"
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from components.serving_pusher.push import push_version\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "push_version(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(model), str(base)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert versions(base) == []
    assert fingerprint(push_version(model, base)) == fingerprint(model)
    assert len(versions(base)) == 1


def test_disk_full_while_copying_is_one_line(model: Path, tmp_path: Path) -> None:
    """A real limit on file size: the kernel itself cuts the copy short."""
    base = tmp_path / "big"
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from components.pushing import PushError\n"
        "from components.serving_pusher.push import push_version\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    push_version(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except PushError as error:\n"
        "    print(error)\n"
        "    sys.exit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(model), str(base)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert "no space left for 12000 bytes" in done.stdout and done.stdout.count("\n") == 1
    assert versions(base) == []
    assert not (base / ".version.part").exists()


def test_disk_full_seen_only_at_fsync_leaves_the_old_version(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "big"
    old = push_version(model, base)
    (model / "saved_model.pb").write_bytes(b"another graph")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PushError, match="no space left for 7013 bytes") as caught:
        push_version(model, base)
    assert "\n" not in str(caught.value)
    assert versions(base) == [old.name]
    assert not (base / ".version.part").exists()
