"""What every push has in common: one at a time, one line for what goes wrong, kept by the disk."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from components.errors import InputError

_LOCK_SECONDS = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class PushError(InputError):
    """Nothing was pushed; what lay at the destination before is still there."""


@contextmanager
def exclusive(destination: Path, name: str, size: int) -> Iterator[None]:
    """Makes the folder ``destination`` and keeps other pushes of ``name`` to it away.

    Args:
        destination: where the push goes.
        name: what is pushed, in ``destination``.
        size: of what is pushed in bytes, for the message.

    Raises:
        PushError: the destination is no folder that can be written, has no space left, or another
            push to it does not end.
    """
    target = destination / name
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with FileLock(destination / f".{name}.lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise PushError(
            f"{target}: another push to it has been going on for {_LOCK_SECONDS:.0f} s; "
            "wait for it or end it, then push again"
        ) from None
    except OSError as error:
        raise PushError(_explain(error, target, size)) from error


def this_moment() -> str:
    """An execution parameter that is never the same, so that TFX runs a pusher every time.

    The metadata know what was pushed, not what lies at the destination now: another version may
    have replaced it or somebody removed it.
    """
    return str(time.time_ns())


def sync(path: Path) -> None:
    """Makes the content of a file, or the names in a folder, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
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
