"""What a device says of itself over MQTT: that it is there, its models, and how they are used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, cast, get_args

from edge_client.fields import FieldError, Fields, strict_json
from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import NAME

MAX_REPORT_BYTES = 8 * 1024
MAX_REASON = 300  # characters
MAX_FAILED = 64  # versions
MAX_INFERENCES = 2**53
PERCENTILES = ("p50", "p95", "p99")

State = Literal["idle", "downloading", "verified", "testing", "active", "rolled_back", "refused"]
STATES: tuple[str, ...] = get_args(State)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


class ReportError(FleetError):
    """A message that is no device's report."""


def utc_text(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, such as ``2026-11-20T12:00:00Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class DeviceStatus:
    """Whether a device is there: its birth message, and its last will."""

    online: bool
    client: str  # what it runs, such as ml4iot-edge 0.1.0
    since: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :meth:`parse` reads their text back."""
        return {"online": self.online, "client": self.client, "since": self.since}

    def serialise(self) -> bytes:
        """The message."""
        return _message(self.to_json())

    @classmethod
    def parse(cls, data: bytes) -> DeviceStatus:
        """Reads such a message; raises :class:`ReportError`."""
        with _report(data, "status") as fields:
            return cls(fields.flag("online"), fields.text("client"), fields.text("since", _TIME))


@dataclass(frozen=True)
class Slot:
    """A version that is installed."""

    version: str
    slot: Literal["a", "b"]
    since: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {"version": self.version, "slot": self.slot, "since": self.since}


@dataclass(frozen=True)
class ModelReport:
    """How far a device is with one of its models."""

    model: str
    channel: str
    state: State
    wanted: str | None  # the version its channel offers it
    progress: float  # of the download, from 0 to 1
    active: Slot | None
    previous: Slot | None
    reason: str  # why it was refused or rolled back; else empty
    failed: tuple[str, ...]  # versions that are not tried again
    rollout: str | None  # the rollout by which it wants what it wants

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :meth:`parse` reads their text back."""
        return {
            "model": self.model,
            "channel": self.channel,
            "state": self.state,
            "wanted": self.wanted,
            "progress": self.progress,
            "active": self.active.to_json() if self.active else None,
            "previous": self.previous.to_json() if self.previous else None,
            "reason": self.reason,
            "failed": list(self.failed),
            "rollout": self.rollout,
        }

    def serialise(self) -> bytes:
        """The message."""
        return _message(self.to_json())

    @classmethod
    def parse(cls, data: bytes) -> ModelReport:
        """Reads such a message; raises :class:`ReportError`."""
        with _report(data, "model report") as fields:
            progress = fields.number("progress", least=0)
            if progress > 1:
                raise FieldError(f"model report.progress: {progress:g} where 0 to 1 is wanted")
            failed = fields.texts("failed", 0, MAX_FAILED)
            if not all(NAME.fullmatch(version) for version in failed):
                raise FieldError("model report.failed: an entry that is no version's name")
            return cls(
                model=fields.text("model", NAME),
                channel=fields.text("channel", NAME),
                state=cast(State, fields.choice("state", STATES)),
                wanted=_name_or_none(fields, "wanted"),
                progress=progress,
                active=_slot(fields, "active"),
                previous=_slot(fields, "previous"),
                reason=fields.text("reason", shortest=0, longest=MAX_REASON),
                failed=failed,
                rollout=_name_or_none(fields, "rollout"),
            )


@dataclass(frozen=True)
class UsageReport:
    """How often a model has answered on a device, and how fast."""

    model: str
    version: str
    inferences: int  # since ``since``
    latency_ms: Mapping[str, float]  # p50, p95, p99; zeros before the first inference
    since: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :meth:`parse` reads their text back."""
        return {
            "model": self.model,
            "version": self.version,
            "inferences": self.inferences,
            "latency_ms": dict(self.latency_ms),
            "since": self.since,
        }

    def serialise(self) -> bytes:
        """The message."""
        return _message(self.to_json())

    @classmethod
    def parse(cls, data: bytes) -> UsageReport:
        """Reads such a message; raises :class:`ReportError`."""
        with _report(data, "usage") as fields:
            with fields.mapping("latency_ms") as part:
                latency = {name: part.number(name, least=0) for name in PERCENTILES}
            return cls(
                model=fields.text("model", NAME),
                version=fields.text("version", NAME),
                inferences=fields.whole("inferences", 0, MAX_INFERENCES),
                latency_ms=latency,
                since=fields.text("since", _TIME),
            )


@contextmanager
def _report(data: bytes, where: str) -> Iterator[Fields]:
    """The fields of a message, every fault of which is a :class:`ReportError`."""
    if len(data) > MAX_REPORT_BYTES:
        raise ReportError(f"{where}: larger than the {MAX_REPORT_BYTES} bytes that are taken")
    try:
        with Fields(strict_json(data), where) as fields:
            yield fields
    except FieldError as error:
        raise ReportError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{where}: no JSON ({error})") from None


def _slot(fields: Fields, name: str) -> Slot | None:
    if fields.absent(name):
        return None
    with fields.mapping(name) as part:
        slot = cast(Literal["a", "b"], part.choice("slot", ("a", "b")))
        return Slot(part.text("version", NAME), slot, part.text("since", _TIME))


def _name_or_none(fields: Fields, name: str) -> str | None:
    return None if fields.absent(name) else fields.text(name, NAME)


def _message(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
