"""The fleet in numbers, for Prometheus: counted when it asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.registry.devices.devices import Devices
from serving.registry.rollouts.rollout import Status
from serving.registry.rollouts.rollouts import Rollouts
from serving.registry.tuf.contents import ROLES
from serving.registry.tuf.repository import Repository


class FleetMetrics(Collector):
    """How many devices there are, what became of rollouts, and until when devices can update."""

    def __init__(self, devices: Devices, rollouts: Rollouts, repository: Repository) -> None:
        self._devices, self._rollouts, self._repository = devices, rollouts, repository

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        known, online = self._devices.numbers()
        yield GaugeMetricFamily("ml4iot_registry_devices", "Devices ever heard of.", known)
        yield GaugeMetricFamily("ml4iot_registry_devices_online", "Devices that are there.", online)
        yield CounterMetricFamily(
            "ml4iot_registry_reports_refused",
            "Messages of devices that were no report, or too many.",
            self._devices.refused,
        )
        rollouts = GaugeMetricFamily(
            "ml4iot_registry_rollouts", "Rollouts that are kept.", labels=("status",)
        )
        found = Counter(each.status for each in self._rollouts.all())
        for status in Status:
            rollouts.add_metric((status.value,), found[status])
        yield rollouts
        expires = GaugeMetricFamily(
            "ml4iot_registry_metadata_expires_timestamp_seconds",
            "Until when metadata is valid, in Unix time; root and targets are the operator's.",
            labels=("role",),
        )
        contents = self._repository.contents
        for role in ROLES:
            expires.add_metric((role,), contents.expires(role).timestamp())
        yield expires
