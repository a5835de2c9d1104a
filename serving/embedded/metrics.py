"""Counters and histograms in Prometheus' text format, under TensorFlow Serving's names.

The names start with a colon and counters have no ``_total``, which Prometheus' own Python client
cannot write.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# The real server's: powers of 1.8 from 10 microseconds on.
LATENCY_BUCKETS_US = tuple(10 * 1.8**power for power in range(33))


class Counter:
    """A number that only grows, one for each combination of label values.

    Values of labels must come from a bounded set: never from what a client sends.
    """

    def __init__(self, name: str, description: str, labels: tuple[str, ...]) -> None:
        self.name, self.description, self.labels = name, description, labels
        self._values: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def add(self, *label_values: str, amount: float = 1) -> None:
        with self._lock:
            self._values[label_values] = self._values.get(label_values, 0) + amount

    def lines(self) -> Iterator[str]:
        yield from _header(self.name, self.description, "counter")
        with self._lock:
            values = dict(self._values)
        for label_values, value in values.items():
            yield f"{self.name}{_labels(self.labels, label_values)} {_number(value)}"


class Histogram:
    """How often a duration in microseconds fell into each bucket."""

    def __init__(self, name: str, description: str, labels: tuple[str, ...]) -> None:
        self.name, self.description, self.labels = name, description, labels
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def observe(self, *label_values: str, seconds: float) -> None:
        microseconds = seconds * 1e6
        bucket = bisect_left(LATENCY_BUCKETS_US, microseconds)
        with self._lock:
            counts = self._counts.setdefault(label_values, [0] * (len(LATENCY_BUCKETS_US) + 1))
            counts[bucket] += 1
            self._sums[label_values] = self._sums.get(label_values, 0.0) + microseconds

    def lines(self) -> Iterator[str]:
        yield from _header(self.name, self.description, "histogram")
        with self._lock:
            snapshot = [
                (key, list(counts), self._sums[key]) for key, counts in self._counts.items()
            ]
        for label_values, counts, total in snapshot:
            cumulative = 0
            for bound, count in zip(
                [*map(_number, LATENCY_BUCKETS_US), "+Inf"], counts, strict=True
            ):
                cumulative += count
                labels = _labels((*self.labels, "le"), (*label_values, bound))
                yield f"{self.name}_bucket{labels} {cumulative}"
            labels = _labels(self.labels, label_values)
            yield f"{self.name}_sum{labels} {_number(total)}"
            yield f"{self.name}_count{labels} {cumulative}"


class ServerMetrics:
    """What the server counts. An unknown model's name appears as an empty label."""

    def __init__(self) -> None:
        self.request_count = Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ("model_name", "status"),
        )
        self.request_latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for a request.",
            ("model_name", "API", "entrypoint"),
        )
        self.runtime_latency = Histogram(
            ":tensorflow:serving:runtime_latency",
            "Distribution of wall time (in microseconds) for TensorFlow to run a request.",
            ("model_name", "API", "runtime"),
        )
        self.load_attempt_count = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "The number of times a SavedModel was requested to be loaded.",
            ("model_path", "status"),
        )
        self.load_latency = Counter(
            ":tensorflow:cc:saved_model:load_latency",
            "Latency in microseconds for SavedModels that were successfully loaded.",
            ("model_path",),
        )
        self.warmup_latency = Histogram(
            ":tensorflow:serving:model_warmup_latency",
            "Distribution of wall time (in microseconds) for warming up a model.",
            ("model_path", "status"),
        )

    def text(self) -> str:
        """All of it in the text exposition format."""
        families = (
            self.request_count,
            self.request_latency,
            self.runtime_latency,
            self.load_attempt_count,
            self.load_latency,
            self.warmup_latency,
        )
        return "".join(f"{line}\n" for family in families for line in family.lines())


def _header(name: str, description: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {description}"
    yield f"# TYPE {name} {kind}"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = ",".join(f'{name}="{_escape(v)}"' for name, v in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return f"{value:.10g}"
