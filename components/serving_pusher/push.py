"""One SavedModel into a model's folder: copied aside, renamed to the next version number."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from components.fingerprint import fingerprint
from components.pushing import exclusive, sync


def push_version(model: Path, base: Path) -> Path:
    """Copies ``model`` to ``<base>/<number>``, the number being the unix time.

    A server sees a version whole or not at all, even when this process is killed or the machine
    loses power.  Where the newest version is this very model already, nothing is copied.

    Returns:
        The folder of the version.

    Raises:
        PushError: the destination is no folder that can be written, has no space left, or another
            push to it does not end.
    """
    files = [path for path in model.rglob("*") if path.is_file()]
    aside = base / ".version.part"  # TensorFlow Serving looks at folders named by numbers only
    with exclusive(base, "version", sum(path.stat().st_size for path in files)):
        versions = {int(p.name): p for p in base.iterdir() if p.name.isdecimal() and p.is_dir()}
        newest = max(versions, default=0)
        if versions and fingerprint(versions[newest]) == fingerprint(model):
            return versions[newest]
        _remove(aside)  # what a killed push left
        try:
            _copy(model, aside)
            target = base / str(max(int(time.time()), newest + 1))
            aside.rename(target)
        finally:
            _remove(aside)
        sync(base)
    return target


def _copy(model: Path, target: Path) -> None:
    """``shutil.copytree`` would hide what went wrong in a list of errors."""
    target.mkdir()
    for path in sorted(model.rglob("*")):
        copy = target / path.relative_to(model)
        if path.is_dir():
            copy.mkdir()
        else:
            shutil.copyfile(path, copy)
    for path in (*target.rglob("*"), target):
        sync(path)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
