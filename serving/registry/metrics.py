"""What the registry counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RegistryMetrics:
    """Counters and histograms of one registry; no label's value comes from a client.

    `collectors` is where other parts add theirs.
    """

    def __init__(self) -> None:
        self.collectors = CollectorRegistry()
        self._requests = Counter(
            "ml4iot_registry_requests",
            "Requests by route and status; 499: the client went away.",
            ("route", "status"),
            registry=self.collectors,
        )
        self._seconds = Histogram(
            "ml4iot_registry_request_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.collectors,
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request is done."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of it in the text exposition format."""
        return generate_latest(self.collectors)
