"""What lies in a model's folder: ``<base>/<number>/...``."""

from __future__ import annotations

import os
from pathlib import Path

MAX_FILES = 10_000
_INT64_MAX = (1 << 63) - 1

Fingerprint = tuple[tuple[str, int, int], ...]


def version_folders(base: Path) -> dict[int, Path] | None:
    """Folders named by a number, by that number; None when `base` cannot be read.

    ``00000012`` is version 12, as in the real server; of two spellings the first in order counts.
    """
    try:
        entries = sorted(os.scandir(base), key=lambda entry: entry.name)
    except OSError:
        return None
    found: dict[int, Path] = {}
    for entry in entries:
        name = entry.name
        if name.isascii() and name.isdigit() and len(name) < 40 and entry.is_dir():
            number = int(name)
            if number <= _INT64_MAX:
                found.setdefault(number, Path(entry.path))
    return found


def fingerprint(folder: Path) -> Fingerprint:
    """Names, sizes and times of the files of a version: it changes when any of them does."""
    files = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            try:
                status = path.stat()
            except OSError:
                continue  # removed between listing and looking
            files.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
            if len(files) >= MAX_FILES:
                return tuple(files)
    return tuple(files)
