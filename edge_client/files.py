"""Reading files that a user named, with every failure in one line; and writing them whole."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tempfile
from pathlib import Path

from edge_client.errors import EdgeError

_PIECE_BYTES = 2**20


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


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file of any size, in hexadecimal; raises :class:`OSError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file of ours: whole or not at all, and kept through a power cut.

    Args:
        path: the file; what was there is replaced.
        data: its content.
        mode: who may read it; 0o600 keeps a secret.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(mode)  # mkstemp's 0600 would hide it from a server's other user
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_link(path: Path, target: str) -> None:
    """Points a symbolic link elsewhere, or makes it: at once, and kept through a power cut.

    Raises:
        OSError: the disk is full or the folder cannot be written; the link is as it was.
    """
    aside = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        aside.symlink_to(target)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renaming and removing in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
