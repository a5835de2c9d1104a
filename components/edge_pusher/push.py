"""One bundle into a folder: written aside, read back, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

from components.errors import InputError

_LOCK_SECONDS = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class PushError(InputError):
    """The bundle was not pushed; what lay at the destination before is still there."""


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
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with FileLock(destination / f".{name}.bundle.lock", timeout=_LOCK_SECONDS):
            try:
                _write(aside, data)
                _check(aside, data)
                aside.rename(target)
            finally:
                aside.unlink(missing_ok=True)
            _sync_folder(destination)
    except Timeout:
        raise PushError(
            f"{target}: another push to it has been going on for {_LOCK_SECONDS:.0f} s; "
            "wait for it or end it, then push again"
        ) from None
    except OSError as error:
        raise PushError(_explain(error, target, len(data))) from error
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


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, target: Path, size: int) -> str:
    if error.errno in _FULL:
        return (
            f"{target}: no space left for {size} bytes; free some and push again "
            "(what was there before is untouched)"
        )
    return f"{target}: cannot be written ({error.strerror}); check the destination folder"
