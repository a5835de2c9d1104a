"""What may be sent in an hour: never more, whatever the policy would like."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

HOUR = 3600.0  # seconds


class HourlyBudget:
    """Bytes and requests within any sixty minutes.

    Room is reserved before anything is sent.  A request counts from then until an hour after it
    ended, for its bytes may leave the device at any moment in between; so no hour, wherever it
    begins, sees more than the limits.  Safe for use by several threads.
    """

    def __init__(
        self,
        max_bytes: int | None = None,
        max_requests: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limits of one hour, None for none; the clock gives seconds that never run backwards."""
        self._max_bytes, self._max_requests = max_bytes, max_requests
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: deque[tuple[float, int]] = deque()  # moment and bytes, oldest first
        self._bytes = self._requests = 0  # of those under way and those of the last hour

    def reserve(self, size: int) -> bool:
        """Whether a request with a body of ``size`` bytes may be sent now; if so it counts."""
        with self._lock:
            self._forget(self._clock() - HOUR)
            if self._max_bytes is not None and self._bytes + size > self._max_bytes:
                return False
            if self._max_requests is not None and self._requests + 1 > self._max_requests:
                return False
            self._bytes += size
            self._requests += 1
            return True

    def settle(self, size: int) -> None:
        """A request that was reserved has ended, well or not."""
        with self._lock:
            # Without limits nothing need be remembered, for however long a device runs.
            if self._max_bytes is not None or self._max_requests is not None:
                self._ended.append((self._clock(), size))

    def release(self, size: int) -> None:
        """A request that was reserved was not sent after all."""
        with self._lock:
            self._bytes -= size
            self._requests -= 1

    def _forget(self, before: float) -> None:
        while self._ended and self._ended[0][0] < before:
            self._bytes -= self._ended.popleft()[1]
            self._requests -= 1
