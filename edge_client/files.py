"""Reading files that a user named, with every failure in one line; and writing them whole."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from edge_client.errors import EdgeError


def open_input(path: Path, name: str, error: type[EdgeError]) -> io.BufferedReader:
    """Opens an ordinary file for reading.

    Args:
        path: the file; pipes and devices, which might never end, are refused.
        name: what error messages call it.
        error: the class of error to raise.
    """
    try:
        if not path.is_file():
            raise error(f"{name}: {'not a file' if path.exists() else 'no such file'}")
        return path.open("rb")
    except OSError as reason:
        raise error(f"{name}: cannot be read: {reason.strerror}") from None


def read_input(path: Path, limit: int, name: str, error: type[EdgeError]) -> bytes:
    """The content of a file, or one byte more than ``limit`` for :func:`check_size` to refuse."""
    with open_input(path, name, error) as file:
        try:
            return file.read(limit + 1)
        except OSError as reason:
            raise error(f"{name}: cannot be read: {reason.strerror}") from None


def check_size(size: int, limit: int, name: str, error: type[EdgeError]) -> None:
    """Raises ``error`` when a file of ``size`` bytes is over the limit."""
    if size > limit:
        raise error(f"{name}: larger than the {limit // 2**20} MiB that are taken")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file of ours: whole or not at all, and kept through a power cut.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)  # mkstemp's 0600 would hide it from a server's other user
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
