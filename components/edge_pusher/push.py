"""One bundle into a folder: written aside, read back, renamed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from components.pushing import PushError, exclusive, sync


def push(data: bytes, name: str, destination: Path) -> Path:
    """Writes ``data`` as ``<destination>/<name>.bundle``.

    A reader sees the earlier file or the new one, never anything between, even when this process
    is killed or the machine loses power; what a killed push left aside the next one overwrites.

    Raises:
        PushError: the destination is no folder that can be written, has no space left, did not
            keep what was written, or another push to it does not end.
    """
    target = destination / f"{name}.bundle"
    aside = destination / f".{name}.bundle.part"
    with exclusive(destination, target.name, len(data)):
        try:
            _write(aside, data)
            _check(aside, data)
            aside.rename(target)
        finally:
            aside.unlink(missing_ok=True)
        sync(destination)
    return target


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check(path: Path, data: bytes) -> None:
    kept = path.read_bytes()
    if kept != data:
        raise PushError(
            f"{path.parent}: what was written reads back differently "
            f"({len(kept)} bytes, SHA-256 {hashlib.sha256(kept).hexdigest()[:12]}… for "
            f"{hashlib.sha256(data).hexdigest()[:12]}…); check the disk"
        )
