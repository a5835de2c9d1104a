"""Several files of a folder changed as one, whatever instant the process is killed at.

The new files are written aside first. Renaming the folder that holds them is what decides: before,
nothing has happened; after, the next to open the folder moves what is left to its place.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from edge_client.files import sync_folder

_PREPARED, _DECIDED = ".preparing", ".decided"
_ORDER = "order.json"
_SECRET = "online/"  # private keys


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keeps other processes from changing the folder, and waits for those that do."""
    with (folder / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def change(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes all the files, or none; in their order, so that who reads meanwhile sees it.

    Args:
        folder: which the caller holds by :func:`exclusive`.
        files: by path in the folder.

    Raises:
        OSError: no space left, or no permission; nothing has changed, or :func:`recover` will
            finish it.
    """
    prepared = folder / _PREPARED
    shutil.rmtree(prepared, ignore_errors=True)
    try:
        prepared.mkdir(mode=0o700)
        for number, (path, data) in enumerate(files.items()):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            mode = 0o600 if path.startswith(_SECRET) else 0o644
            write_synced(prepared / str(number), data, mode)
        write_synced(prepared / _ORDER, json.dumps(list(files)).encode())
        sync_folder(prepared)
    except BaseException:
        shutil.rmtree(prepared, ignore_errors=True)
        raise
    prepared.rename(folder / _DECIDED)
    sync_folder(folder)
    _finish(folder)


def recover(folder: Path) -> None:
    """Finishes or discards what a killed process left; the caller holds the folder."""
    shutil.rmtree(folder / _PREPARED, ignore_errors=True)
    if (folder / _DECIDED).is_dir():
        _finish(folder)


def _finish(folder: Path) -> None:
    decided = folder / _DECIDED
    order = decided / _ORDER
    if order.is_file():  # else all of it has been moved
        touched: dict[Path, None] = {}
        for number, name in enumerate(json.loads(order.read_bytes())):
            path = folder / PurePosixPath(name)
            aside = decided / str(number)
            if aside.exists():
                aside.replace(path)
            # With the folders above, for they may be new as well.
            touched.update(dict.fromkeys(p for p in path.parents if p.is_relative_to(folder)))
        for each in touched:
            sync_folder(each)
        order.unlink()
    decided.rmdir()


def write_synced(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file that is not there yet, and waits until the disk has it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
