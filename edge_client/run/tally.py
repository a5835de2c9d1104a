"""Counts of a run, in memory that does not grow with it."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import numpy as np

from edge_client.run.clip import Answer
from edge_client.wilson import wilson

_LATENCIES = 100_000  # of each kind; percentiles are of the last so many
PERCENTILES = (50, 95, 99)


class Tally:
    """Takes note of answers."""

    def __init__(self) -> None:
        self.clips = self.doubtful = self.asked = 0
        self.decided_by: Counter[str] = Counter()
        self._known = self._right = self._first_right = 0
        self._kept_ms: deque[float] = deque(maxlen=_LATENCIES)
        self._asked_ms: deque[float] = deque(maxlen=_LATENCIES)

    def add(self, answer: Answer) -> None:
        """One more."""
        self.clips += 1
        self.decided_by[answer.decided_by] += 1
        steps = answer.latency_ms
        self.doubtful += answer.doubtful
        self.asked += answer.asked
        # "total" is features and inference; beside it stands only what the network added.
        waited = sum(ms for step, ms in steps.items() if step not in ("features", "inference"))
        (self._asked_ms if answer.asked else self._kept_ms).append(waited)
        if answer.clip.word is not None:
            self._known += 1
            self._right += answer.label == answer.clip.word
            self._first_right += answer.first_label == answer.clip.word

    def so_far(self, total: int | None, seconds: float) -> str:
        """Of ``total`` clips (None: nobody knows) after so many seconds, for a person."""
        of = "" if total is None else f"/{total}"
        return f"{self.clips}{of} clips, {self.asked} asked, {seconds:.0f} s"

    def accuracy(self, first: bool = False) -> dict[str, Any] | None:
        """Of the whole system or of the first model alone, with its Wilson 95 % interval.

        None where no clip's word is known.
        """
        if not self._known:
            return None
        right = self._first_right if first else self._right
        low, high = wilson(right, self._known)
        return {
            "percent": round(100 * right / self._known, 4),
            "right": right,
            "known": self._known,
            "low": round(100 * low, 4),
            "high": round(100 * high, 4),
        }

    def latency(self, asked: bool) -> dict[str, float] | None:
        """Percentiles in milliseconds of kept or of asked clips; None where there are none."""
        values = self._asked_ms if asked else self._kept_ms
        if not values:
            return None
        at = np.percentile(np.array(values), PERCENTILES).tolist()
        return {f"p{p}": round(ms, 4) for p, ms in zip(PERCENTILES, at, strict=True)}
