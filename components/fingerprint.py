"""What a component's cache key must contain so that changed input is not taken for the old one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from components.errors import InputError

_BLOCK = 1 << 20  # bytes read at a time


def fingerprint(*paths: str | Path) -> str:
    """SHA-256 of the content of files and folders; a moved or touched copy has the same one.

    Hidden files do not count.  Reads everything: about a second a gigabyte.

    Raises:
        InputError: a path does not exist or cannot be read.
    """
    total = hashlib.sha256()
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise InputError(f"{path}: does not exist; name a file or a folder")
        for file in _files(path):
            name = file.relative_to(path).as_posix()
            total.update(f"{name}\0{sha256_of(file)}\n".encode())
        total.update(b"\0")
    return total.hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of one file's content in hexadecimal.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden:
            yield file
