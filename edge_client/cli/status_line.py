"""One line on a terminal that says how far something long is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_FROM_S = 2.0


class StatusLine:
    """Redrawn in its place on standard error; silent where that is no terminal."""

    def __init__(self, every_s: float, among_answers: bool = True) -> None:
        """Draws nothing in the first two seconds.

        Args:
            every_s: the least time between two drawings.
            among_answers: also where standard output goes to a terminal; not where the answers
                there are progress enough.
        """
        self._drawing = sys.stderr.isatty() and (among_answers or not sys.stdout.isatty())
        self._every_s = every_s
        self._next = time.monotonic() + _FROM_S
        self._width = 0

    def show(self, text: Callable[[], str]) -> None:
        """Draws what ``text`` says, if it is time."""
        now = time.monotonic()
        if not self._drawing or now < self._next:
            return
        self._next = now + self._every_s
        line = text()
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def clear(self) -> None:
        """Leaves an empty line to whoever writes next."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0
