"""What a run of questions came to, as numbers and in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_client.cooperation.collector import Counts, Decision
from edge_client.wilson import wilson

_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Report:
    """Of one run; see :meth:`to_json` for the units."""

    clips: int
    unanswered: int
    known: int  # clips whose folder is named as a label
    right: int
    seconds: float
    latency_ms: dict[str, float]  # empty where nobody answered
    combination: str
    counts: Counts
    answers_lost: int

    def to_json(self) -> dict[str, Any]:
        """Accuracy and its 95 % interval are in percent, None where no label is known."""
        accuracy, interval = None, None
        if self.known:
            accuracy = 100 * self.right / self.known
            interval = [100 * share for share in wilson(self.right, self.known)]
        return {
            "clips": self.clips,
            "unanswered": self.unanswered,
            "combination": self.combination,
            "accuracy": accuracy,
            "interval": interval,
            "right": self.right,
            "known": self.known,
            "seconds": self.seconds,
            "clips_per_second": self.clips / self.seconds if self.seconds else 0.0,
            "latency_ms": self.latency_ms,
            "messages": {**asdict(self.counts), "lost": self.answers_lost},
        }

    def lines(self) -> list[str]:
        """For a person."""
        if not self.clips:
            return ["no clips were asked"]
        if self.known:
            low, high = wilson(self.right, self.known)
            accuracy = (
                f"accuracy {100 * self.right / self.known:.2f} % ({self.right} of {self.known}, "
                f"95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
            )
        elif self.unanswered == self.clips:
            accuracy = "nobody answered"
        else:
            accuracy = "no accuracy, for no folder is named as a label"
        values = [f"{name} {value:.1f}" for name, value in self.latency_ms.items()]
        latency = ", ".join(values) or "none"
        counts = self.counts
        answers = {
            "used": counts.used,
            "late": counts.late,
            "duplicate": counts.duplicate,
            "malformed": counts.malformed,
            "NaN": counts.not_finite,
            "of other labels": counts.other_labels,
            "unknown": counts.unknown,
            "to other publishers": counts.foreign,
            "of no member": counts.outsiders,
            "lost": self.answers_lost,
        }
        others = [f"{n} {name}" for name, n in answers.items() if n or name == "used"]
        return [
            f"{self.clips} clips by {self.combination}: {accuracy}; {self.unanswered} without an "
            "answer",
            f"{self.clips / self.seconds:.1f} clips/s; latency ms: {latency}",
            f"answers: {', '.join(others)}; nodes: {counts.joined} joined, {counts.left} left",
        ]


class Tally:
    """Adds up decisions."""

    def __init__(self, labels: Iterable[str] = ()) -> None:
        """``labels`` are known before any answer, from an ensemble."""
        self._latencies: list[float] = []
        self._words: Counter[tuple[str, bool]] = Counter()
        self._labels = set(labels)
        self._unanswered = 0

    def add(self, word: str, decision: Decision) -> None:
        """Takes note of a decision about a clip from the folder ``word``."""
        if decision.label is None:
            self._unanswered += 1
        else:
            self._latencies.append(decision.latency_ms)
        self._labels |= decision.scores.keys()
        self._words[word, word == decision.label] += 1

    def report(self, seconds: float, rule: str, counts: Counts, lost: int) -> Report:
        """The whole; a clip of a known word without an answer counts as wrong."""
        known = {key: n for key, n in self._words.items() if key[0] in self._labels}
        latency_ms = {}
        if self._latencies:
            values = np.percentile(self._latencies, _PERCENTILES).tolist()
            latency_ms = {f"p{p}": v for p, v in zip(_PERCENTILES, values, strict=True)}
        return Report(
            clips=sum(self._words.values()),
            unanswered=self._unanswered,
            known=sum(known.values()),
            right=sum(n for (_, right), n in known.items() if right),
            seconds=seconds,
            latency_ms=latency_ms,
            combination=rule,
            counts=counts,
            answers_lost=lost,
        )
