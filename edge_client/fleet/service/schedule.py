"""When the registry is asked about a model: soon after a version is announced, else by and by."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

BACK_OFF_S = (2.0, 300.0)  # after the first failure, and at most
# However fast announcements come, anybody's included, the registry is asked no faster than this,
SPACING_S = 0.25
# and after so many looks only every so often: each costs the registry, and the flash card here.
BURST, SPARING_S = 40, 5.0
_JITTER = 0.2  # so that a fleet that was started together does not ask together


class Schedule:
    """The next moment for one model.  Not safe for use by several threads at once."""

    def __init__(
        self,
        poll_s: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Due at once.

        Args:
            poll_s: seconds from one look to the next where nothing is announced.
            clock: gives seconds that never run backwards, whatever is done to the time of day.
            chance: gives numbers from 0 to 1.
        """
        self._poll_s = poll_s
        self._clock, self._chance = clock, chance
        self._failures = 0
        self._hinted: float | None = None  # when a hint not looked at yet is to be
        self._due = self._began = self._earliest = clock()
        self._left = float(BURST)  # looks of a burst

    def wait_s(self) -> float:
        """Seconds until it is due; 0 when it is."""
        return max(0.0, self._due - self._clock())

    def hint(self, spread_s: float = 0.0) -> None:
        """Something was announced, perhaps while we look already and too late for that look.

        Args:
            spread_s: over which the fleet is to spread its looks; this is one of them.
        """
        moment = max(self._clock() + spread_s * self._chance(), self._earliest)
        self._hinted = moment if self._hinted is None else min(self._hinted, moment)
        self._due = min(self._due, moment)

    def begin(self) -> None:
        """We look now."""
        now = self._clock()
        earned = (now - self._began) / SPARING_S
        self._left = max(0.0, min(BURST, self._left + earned) - 1)
        self._began, self._hinted = now, None

    def looked(self) -> None:
        """The registry answered, whatever it said."""
        self._failures = 0
        self._next(self._poll_s)

    def failed(self) -> None:
        """The registry could not be asked, or this device could not do what it was to do."""
        first, most = BACK_OFF_S
        self._next(min(first * 2**self._failures, most, self._poll_s))
        self._failures = min(self._failures + 1, 20)

    def _next(self, seconds: float) -> None:
        now = self._clock()
        self._due = now + seconds * (1 + _JITTER * (2 * self._chance() - 1))
        self._earliest = now + (SPACING_S if self._left >= 1 else SPARING_S)
        if self._hinted is not None:
            self._due = min(self._due, max(self._hinted, self._earliest))
