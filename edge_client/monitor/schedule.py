"""When a sensor is read: ticks that do not drift, however long each reading takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

# A reading begun later would end in the next tick's time: a DHT-11 takes up to 0.4 s.
_SHARE_TO_BEGIN = 0.6
_LONGEST_WAIT_S = 3600.0


def clock() -> float:
    """Seconds that run on while the machine sleeps, where the system counts them."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True)
class Tick:
    """One reading that is due."""

    number: int  # from 0; numbers that were passed over are not given
    until: float  # of the clock: no attempt at reading begins later


class Schedule:
    """Tick ``n`` is due ``n`` intervals after the first, whatever was before it."""

    def __init__(self, interval_s: float, now: Callable[[], float] = clock) -> None:
        self.interval_s = interval_s
        self._now = now

    def ticks(self, stop: Event) -> Iterator[Tick]:
        """Waits for each tick, and gives it; ends when ``stop`` is set.

        Whoever is late by more than half an interval misses a tick: its number is passed over.
        """
        start, number = self._now(), 0
        while True:
            due = start + number * self.interval_s
            while (left := due - self._now()) > 0:
                if stop.wait(min(left, _LONGEST_WAIT_S)):
                    return
            if stop.is_set():
                return
            yield Tick(number, due + _SHARE_TO_BEGIN * self.interval_s)
            past = (self._now() - start) / self.interval_s
            number = max(number + 1, math.ceil(past - 0.5))
