"""What the gateway counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class GatewayMetrics:
    """Counters and histograms of one gateway; no label's value comes from a client."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ml4iot_gateway_requests",
            "Requests by route and status; 499: the client went away.",
            ("route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "ml4iot_gateway_request_seconds",
            "From a request's head to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._body_bytes = Counter(
            "ml4iot_gateway_body_bytes",
            "Bytes of the request bodies received whole.",
            ("route",),
            registry=self._registry,
        )
        self.waiting = Gauge(
            "ml4iot_gateway_waiting",
            "Requests that wait for a call to the backend.",
            registry=self._registry,
        )
        self.ready = Gauge(
            "ml4iot_gateway_backend_ready",
            "1 while the backend serves the model.",
            registry=self._registry,
        )
        self._batch = Histogram(
            "ml4iot_gateway_batch_size",
            "Questions in one call to the backend.",
            ("signature",),
            buckets=_SIZES,
            registry=self._registry,
        )
        self._call_seconds = Histogram(
            "ml4iot_gateway_backend_seconds",
            "Duration of one call to the backend.",
            ("outcome",),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def answered(self, route: str, status: int, seconds: float, body_bytes: int) -> None:
        """One request is done."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._body_bytes.labels(route).inc(body_bytes)

    def called(self, signature: str, size: int, outcome: str, seconds: float) -> None:
        """One call to the backend is done."""
        self._batch.labels(signature).observe(size)
        self._call_seconds.labels(outcome).observe(seconds)

    def text(self) -> bytes:
        """All of it in the text exposition format."""
        return generate_latest(self._registry)
