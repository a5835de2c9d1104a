"""What goes wrong every second is told once a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from edge_client.cli.messages import say

_EVERY_S = 60.0


class Seldom:
    """Says errors, but not so often that a log fills up.  Safe for use by several threads."""

    def __init__(self, tell: Callable[[str], None] = say) -> None:
        self._tell = tell
        self._lock = Lock()
        self._next: dict[type, float] = {}
        self._unsaid: dict[type, int] = {}

    def say(self, error: Exception) -> None:
        """Says it, unless another of its class was said within the last minute."""
        kind, now = type(error), time.monotonic()
        with self._lock:
            if now < self._next.get(kind, 0):
                self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
                return
            unsaid = self._unsaid.pop(kind, 0)
            self._next[kind] = now + _EVERY_S
        self._tell(f"{error}" + f" ({unsaid} more like it before)" * bool(unsaid))
