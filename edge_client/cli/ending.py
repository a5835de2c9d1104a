"""What to do when told to end: first leave what was begun."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

# A terminal that is closed says SIGHUP; the end of a session says both.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Whoever is told to end (SIGTERM, SIGHUP) leaves every block it is in; exits with 143 or 129.

    A program that has an answer to such a signal already, and a thread, keep what they have.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = [each for each in _SIGNALS if signal.getsignal(each) == signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in usual:
            signal.signal(each, signal.SIG_IGN)  # another one would interrupt the leaving
        raise SystemExit(128 + number)

    for each in usual:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in usual:
            signal.signal(each, signal.SIG_DFL)
