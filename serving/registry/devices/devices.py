"""The fleet as it last spoke: for every device whether it is there, and what its models do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_client.fleet.errors import FleetError
from edge_client.fleet.report import DeviceStatus, ModelReport, UsageReport, utc_text
from edge_client.fleet.topics import Said
from serving.registry.devices.reports_file import ReportsFile, Row
from serving.registry.log import log

FILE = "devices.sqlite"
MAX_DEVICES = 100_000
MAX_MODELS = 16  # of one device
WRITE_EVERY_S = 1.0
_QUIET_S = 60.0  # between two lines about reports that are not taken


@dataclass
class Device:
    """What one device last said."""

    name: str
    heard_at: float = 0.0  # Unix seconds, by the registry's clock
    status: DeviceStatus | None = None
    models: dict[str, ModelReport] = field(default_factory=dict)
    usage: dict[str, UsageReport] = field(default_factory=dict)

    @property
    def online(self) -> bool:
        """Whether it is there, as far as the broker knows."""
        return self.status is not None and self.status.online

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, its models by name."""
        return {
            "device": self.name,
            "online": self.online,
            "heard_at": utc_text(self.heard_at),
            "status": self.status.to_json() if self.status else None,
            "models": [self.models[name].to_json() for name in sorted(self.models)],
            "usage": [self.usage[name].to_json() for name in sorted(self.usage)],
        }


class Devices:
    """The last reports of at most :data:`MAX_DEVICES` devices; safe to use from any thread.

    Between `start` and `close` they are written down every second, in a thread of its own.
    """

    def __init__(self, state: Path) -> None:
        """Takes up what is in the folder. Raises `OSError` when that cannot be used."""
        self.refused = 0  # reports that were none, or too many
        self._lock = threading.Lock()
        self._devices: dict[str, Device] = {}
        self._listeners: list[Callable[[], None]] = []
        self._unwritten: dict[tuple[str, str, str], Row] = {}
        self._closing = threading.Event()
        self._complained = -_QUIET_S
        self._file = ReportsFile(state / FILE)
        for row in self._file.rows():
            with contextlib.suppress(FleetError):  # of a registry that understood more
                self._take(row)
        self._writer = threading.Thread(
            target=self._write_now_and_then, name="devices", daemon=True
        )

    def start(self) -> None:
        """Begins to write."""
        self._writer.start()

    def close(self) -> None:
        """Writes the last of it, and closes the file."""
        self._closing.set()
        if self._writer.is_alive():
            self._writer.join()
        self.write()
        self._file.close()

    def on_report(self, listener: Callable[[], None]) -> None:
        """Calls it after every report that is taken, on the reporter's thread; to be quick."""
        self._listeners.append(listener)

    def take(self, said: Said, payload: bytes) -> None:
        """Takes a message of a device; an empty one takes back what was retained before.

        What is no report is counted and forgotten.
        """
        row = Row(said.who, said.kind, said.what, payload or None, time.time())
        try:
            with self._lock:
                if row.payload is None and not self._knows(row):
                    return  # nothing to be written, however many of them there are
                self._take(row)
                self._unwritten[row.device, row.kind, row.what] = row
        except FleetError as error:
            self._refuse(said.who, error)
            return
        for listener in self._listeners:
            listener()

    def get(self, name: str) -> Device | None:
        """One device; None for one that was never heard of."""
        with self._lock:
            device = self._devices.get(name)
            return _copy(device) if device else None

    def is_online(self, name: str) -> bool:
        """Whether a device is there; one that was never heard of is not."""
        with self._lock:
            device = self._devices.get(name)
            return device is not None and device.online

    def page(self, after: str, limit: int) -> list[Device]:
        """At most ``limit`` devices whose names come after this one, in their order."""
        with self._lock:
            names = sorted(name for name in self._devices if name > after)[:limit]
            return [_copy(self._devices[name]) for name in names]

    def reports(self, model: str, channel: str) -> dict[str, tuple[ModelReport, bool]]:
        """The report of every device on a model and channel, and whether the device is online."""
        with self._lock:
            return {
                name: (report, device.online)
                for name, device in self._devices.items()
                if (report := device.models.get(model)) is not None and report.channel == channel
            }

    def numbers(self) -> tuple[int, int]:
        """How many devices are known, and how many of them are online."""
        with self._lock:
            return len(self._devices), sum(each.online for each in self._devices.values())

    def write(self) -> None:
        """Writes down what is new; kept for the next time where the disk does not take it."""
        with self._lock:
            rows, self._unwritten = self._unwritten, {}
        try:
            self._file.write(rows.values())
        except OSError as error:
            log.warning("%s; tried again", error)
            with self._lock:
                self._unwritten = {**rows, **self._unwritten}

    def _write_now_and_then(self) -> None:
        while not self._closing.wait(WRITE_EVERY_S):
            if self._unwritten:
                self.write()

    def _take(self, row: Row) -> None:
        """Raises `FleetError` for what is no report, or one too many."""
        device = self._devices.get(row.device) or Device(row.device)
        if row.payload is None:
            _forget(device, row)
            if device.status is None and not device.models and not device.usage:
                self._devices.pop(row.device, None)
            return
        if row.device not in self._devices and len(self._devices) >= MAX_DEVICES:
            raise FleetError(f"{MAX_DEVICES} devices are known, and no more are taken")
        if row.kind == "status":
            device.status = DeviceStatus.parse(row.payload)
        elif row.kind == "model":
            report = ModelReport.parse(row.payload)
            _check_place(report.model, row.what, device.models)
            device.models[row.what] = report
        else:
            usage = UsageReport.parse(row.payload)
            _check_place(usage.model, row.what, device.usage)
            device.usage[row.what] = usage
        device.heard_at = max(device.heard_at, row.heard_at)
        self._devices[row.device] = device

    def _knows(self, row: Row) -> bool:
        device = self._devices.get(row.device)
        if device is None:
            return False
        if row.kind == "status":
            return device.status is not None
        return row.what in (device.models if row.kind == "model" else device.usage)

    def _refuse(self, device: str, error: FleetError) -> None:
        self.refused += 1
        now = time.monotonic()
        if now - self._complained >= _QUIET_S:
            self._complained = now
            log.warning("report of %s is not taken: %s", device, error)


def _check_place(model: str, topic: str, known: dict[str, Any]) -> None:
    if model != topic:
        raise FleetError(f"a report on {model} under the topic of {topic}")
    if topic not in known and len(known) >= MAX_MODELS:
        raise FleetError(f"more than {MAX_MODELS} models")


def _forget(device: Device, row: Row) -> None:
    if row.kind == "status":
        device.status = None
    elif row.kind == "model":
        device.models.pop(row.what, None)
    else:
        device.usage.pop(row.what, None)


def _copy(device: Device) -> Device:
    return Device(
        device.name, device.heard_at, device.status, dict(device.models), dict(device.usage)
    )
