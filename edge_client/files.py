"""Opening files that a user named, with every failure in one line."""

from __future__ import annotations

import io
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
