"""A circuit breaker: who fails time and again is left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Opens after so many failures in a row; after a pause one try decides whether it closes.

    M. Nygard, Release It! (2007), section 5.2.  Every ``allows`` that says yes must be followed by
    ``success`` or ``failure``.  Safe for use by several threads.
    """

    def __init__(
        self,
        failures: int = 5,
        pause: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``failures`` in a row open it for ``pause`` seconds."""
        self._limit, self._pause, self._clock = failures, pause, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened: float | None = None
        self._trying = False
        self.openings = 0

    def allows(self) -> bool:
        """Whether to try now; while it is half open, only one may at a time."""
        with self._lock:
            if self._opened is None:
                return True
            if self._trying or self._clock() - self._opened < self._pause:
                return False
            self._trying = True
            return True

    def success(self) -> None:
        """A try went well."""
        with self._lock:
            self._failures, self._opened, self._trying = 0, None, False

    def failure(self) -> None:
        """A try failed."""
        with self._lock:
            self._failures += 1
            if self._trying or (self._opened is None and self._failures >= self._limit):
                self._opened, self._trying = self._clock(), False
                self.openings += 1
