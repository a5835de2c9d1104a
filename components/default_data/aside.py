"""Data sets written aside and renamed into place, with the recipe that made them inside."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from components.errors import InputError

_RECIPE = "recipe.json"
_LOCK_SECONDS = 600

Store = Callable[[str, bytes], None]


@dataclass(frozen=True)
class DataSet:
    """What a data set is, and all that its content depends on."""

    title: str
    recipe: Mapping[str, Any]

    def to_json(self) -> str:
        return json.dumps({"title": self.title, "recipe": self.recipe}, indent=2) + "\n"


def is_made(out: Path, data_set: DataSet) -> bool:
    """Whether ``out`` holds this data set already.

    Raises:
        InputError: ``out`` holds something that no recipe made, which we will not overwrite.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        if out.is_dir():
            found = (out / _RECIPE).read_text()
        else:
            with zipfile.ZipFile(out) as archive:
                found = archive.read(_RECIPE).decode()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        raise InputError(
            f"{out}: exists and is not default data of ours; name another path or remove it"
        ) from None
    return found == data_set.to_json()


@contextmanager
def written(out: Path, data_set: DataSet) -> Iterator[Store]:
    """Stores files by their path inside ``out`` and shows them there only when all are stored.

    ``out`` becomes a zip when its name ends in ``.zip``, else a folder.  What an earlier recipe
    made is replaced; a second writer of the same ``out`` waits for the first.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.parent / f".{out.name}.part"
    with FileLock(out.parent / f".{out.name}.lock", timeout=_LOCK_SECONDS):
        _remove(aside)  # what a killed run left
        try:
            with (_zip if out.suffix == ".zip" else _folder)(aside) as store:
                yield store
                store(_RECIPE, data_set.to_json().encode())
            if out.is_dir():
                old = out.parent / f".{out.name}.old"
                _remove(old)
                out.rename(old)
                aside.rename(out)
                _remove(old)
            else:
                os.replace(aside, out)
        finally:
            _remove(aside)


@contextmanager
def _zip(path: Path) -> Iterator[Store]:
    with open(path, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            # ZipInfo's fixed date of 1980 keeps the archive the same from run to run.
            yield lambda name, content: archive.writestr(zipfile.ZipInfo(name), content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _folder(path: Path) -> Iterator[Store]:
    def store(name: str, content: bytes) -> None:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    yield store


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
