"""Keeps the chatter of compiled libraries off the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def quiet(log: str | Path | None = None) -> Iterator[None]:
    """Sends what the process writes to standard output and error meanwhile to a file.

    TensorFlow's converter writes from C++, past ``sys.stderr``, so the file descriptors
    themselves are turned round, for all threads: do not show progress inside.  Where the block
    raises, what was held back is written to standard error, so that no clue is lost.

    Args:
        log: a file to append to; without one the chatter is dropped when all went well.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log, "ab+") if log else tempfile.TemporaryFile() as sink:
        start = sink.seek(0, os.SEEK_END)
        kept = {fd: os.dup(fd) for fd in (1, 2)}
        failed = True
        try:
            for fd in kept:
                os.dup2(sink.fileno(), fd)
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for fd, copy in kept.items():
                os.dup2(copy, fd)
                os.close(copy)
            if failed:
                sink.seek(start)
                with open(os.dup(2), "wb") as terminal:
                    shutil.copyfileobj(sink, terminal)
