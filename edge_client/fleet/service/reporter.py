"""What a device says over MQTT, kept so that it can be said again when the broker is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edge_client.fleet.home_assistant import client_version, discovery, model_version
from edge_client.fleet.report import (
    MAX_REASON,
    DeviceStatus,
    ModelReport,
    UsageReport,
    utc_text,
)
from edge_client.fleet.topics import Topics
from edge_client.fleet.update.updater import Outcome, Progress

# As Connection.publish: topic, payload, quality of service, retained; whether it was taken.
Publish = Callable[[str, bytes, int, bool], bool]

_UNDER_WAY = ("downloading", "verified", "testing")
_PROGRESS_S = 0.5  # between two reports that differ in progress only


class Reporter:
    """The last word on each model of a device.  Safe for use by several threads."""

    def __init__(self, device: str, topics: Topics, models: dict[str, str]) -> None:
        """Says nothing yet: see :meth:`connect`.

        Args:
            device: its name.
            topics: of the fleet.
            models: the channel of each model.
        """
        self._device, self._topics = device, topics
        self._since = utc_text(time.time())
        self._lock = threading.Lock()
        self._publish: Publish | None = None
        self._told_progress = 0.0
        self._models = {
            model: ModelReport(model, channel, "idle", None, 0.0, None, None, "", (), None)
            for model, channel in models.items()
        }

    @property
    def status_topic(self) -> str:
        """Where it is said whether the device is there."""
        return self._topics.status(self._device)

    def status(self, online: bool) -> bytes:
        """The message that says so."""
        return DeviceStatus(online, f"ml4iot-edge {client_version()}", self._since).serialise()

    def connect(self, publish: Publish) -> None:
        """From now on things are said to this broker."""
        with self._lock:
            self._publish = publish

    def greet(self) -> None:
        """Says everything, for the broker is there (again): birth, sensors, models."""
        with self._lock:
            self._say(self.status_topic, self.status(online=True))
            for model in self._models:
                sensor = model_version(model, self._device, self._topics)
                self._say(*discovery(sensor, self._device, self._topics))
                self._report(model)

    def model(self, model: str) -> ModelReport:
        """What was last said of a model."""
        with self._lock:
            return self._models[model]

    def progress(self, progress: Progress) -> None:
        """Says how far an update is."""
        self.change(
            progress.model,
            state=progress.state,
            wanted=progress.wanted,
            progress=progress.progress,
            rollout=progress.rollout,
            reason="",
        )

    def outcome(self, outcome: Outcome) -> ModelReport:
        """Says what became of an update, and gives what was said."""
        active, previous = outcome.active, outcome.previous
        self.change(
            outcome.model,
            state=outcome.state,
            wanted=outcome.wanted,
            progress=1.0 if outcome.state == "active" else 0.0,
            active=active.reported() if active else None,
            previous=previous.reported() if previous else None,
            reason=f"{outcome.reason}: {outcome.text}"[:MAX_REASON] if outcome.reason else "",
            failed=outcome.failed,
            rollout=outcome.rollout,
        )
        return self.model(outcome.model)

    def put_off(self, model: str, error: Exception) -> None:
        """Takes back what was said of an update under way, for it broke off."""
        if self.model(model).state in _UNDER_WAY:
            self.change(model, state="idle", progress=0.0, reason=str(error)[:MAX_REASON])

    def change(self, model: str, **changes: Any) -> bool:
        """Says what changed about a model, if anything did; whether it did.

        Args:
            model: which.
            changes: fields of its :class:`ModelReport`.
        """
        with self._lock:
            before = self._models[model]
            now = replace(before, **changes)
            if now == before:
                return False
            if replace(now, progress=before.progress) == before and now.progress < 1:
                moment = time.monotonic()
                if moment - self._told_progress < _PROGRESS_S:
                    return False
                self._told_progress = moment
            self._models[model] = now
            self._report(model)
            return True

    def usage(self, report: UsageReport) -> None:
        """Says how a model is used."""
        with self._lock:
            self._say(self._topics.usage(self._device, report.model), report.serialise())

    def _report(self, model: str) -> None:
        self._say(self._topics.model(self._device, model), self._models[model].serialise())

    def _say(self, topic: str, payload: bytes) -> None:
        # Without a broker it is said when one is there: only the last word counts.
        if self._publish is not None:
            self._publish(topic, payload, 1, True)
