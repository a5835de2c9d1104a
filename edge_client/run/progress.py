"""One line on a terminal that says how far a long run is."""

from __future__ import annotations

import sys
import time

from edge_client.run.tally import Tally

_FROM_S, _EVERY_S = 2.0, 0.5


class Progress:
    """Redraws one line on standard error; silent where that is no terminal.

    Silent as well where the answers go to a terminal: they are progress enough.
    """

    def __init__(self, total: int | None) -> None:
        """``total`` clips are to come; None where nobody knows."""
        self._of = "" if total is None else f"/{total}"
        self._drawing = sys.stderr.isatty() and not sys.stdout.isatty()
        self._began = self._next = time.monotonic()
        self._next += _FROM_S
        self._width = 0

    def show(self, tally: Tally) -> None:
        """Draws what is counted so far, now and then."""
        now = time.monotonic()
        if not self._drawing or now < self._next:
            return
        self._next = now + _EVERY_S
        text = f"{tally.clips}{self._of} clips, {tally.asked} asked, {now - self._began:.0f} s"
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Leaves an empty line to whoever writes next."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0
