"""What a person reads: single lines on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: object) -> None:
    """One line on standard error, even where a file name has line breaks in it."""
    # In one piece: what two threads say at once stays two lines.
    sys.stderr.write(f"ml4iot-edge: {' '.join(str(text).split())}\n")


@contextmanager
def native_silence() -> Iterator[None]:
    """Keeps what C++ libraries write on loading off standard output and standard error."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream, _ in saved:
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, copy in saved:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)
