"""What one model costs on one device, as ``ml4iot-edge bench`` reports it.

It is known by the SHA-256 of the model's file in the bundle, so that it speaks for that very model
and for no other of its name, pushed or not.
"""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_client.errors import EdgeError
from edge_client.fields import FieldError, Fields, strict_json
from edge_client.fleet.names import NAME

MAX_MEASUREMENT_BYTES = 8 * 1024
MAX_RUNS = 1_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)


class MeasurementError(EdgeError):
    """No measurement, or one of something that cannot be."""


@dataclass(frozen=True)
class Machine:
    """What was measured on, in the system's own words; empty where it does not say."""

    architecture: str  # aarch64
    processor: str  # Raspberry Pi 4 Model B Rev 1.4
    system: str  # Linux 6.12.34
    cores: int


@dataclass(frozen=True)
class Measurement:
    """Milliseconds of one prediction: medians over ``runs`` at batch 1 on one thread."""

    device: str
    model: str
    version: str
    model_sha256: str  # of the model's file in the bundle, packed where it is packed
    measured_at: str  # ISO 8601, UTC, to the second
    features_ms: float
    inference_ms: float
    total_ms: float
    runs: int
    resident_mb: float | None  # of the process, in 1,000,000 bytes; None: the system does not say
    machine: Machine

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :meth:`parse` reads their text back."""
        return asdict(self)

    def serialise(self) -> bytes:
        """One line of JSON, without the line's end."""
        return json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def parse(cls, data: bytes, name: str = "measurement") -> Measurement:
        """Reads a measurement.

        Args:
            data: its JSON.
            name: what error messages call it.

        Raises:
            MeasurementError: larger than 8 KiB, no JSON, or a field unknown, missing, of the wrong
                type or out of range; one line that says which.
        """
        if len(data) > MAX_MEASUREMENT_BYTES:
            raise MeasurementError(
                f"{name}: larger than the {MAX_MEASUREMENT_BYTES} bytes that are taken"
            )
        try:
            values = strict_json(data)
        except (ValueError, RecursionError) as error:
            raise MeasurementError(
                f"{name}: no JSON ({error}); `ml4iot-edge bench` writes one"
            ) from None
        return cls.of(values, name)

    @classmethod
    def of(cls, values: Any, name: str = "measurement") -> Measurement:
        """A measurement from what JSON held; raises as :meth:`parse` does."""
        try:
            with Fields(values, name) as fields:
                return cls(
                    device=fields.text("device", NAME),
                    model=fields.text("model", NAME),
                    version=fields.text("version", NAME),
                    model_sha256=fields.text("model_sha256", _SHA256),
                    measured_at=_moment(fields),
                    features_ms=fields.number("features_ms", least=0),
                    inference_ms=fields.number("inference_ms", least=0),
                    total_ms=fields.number("total_ms", least=0),
                    runs=fields.whole("runs", 1, MAX_RUNS),
                    resident_mb=None
                    if fields.absent("resident_mb")
                    else fields.number("resident_mb", least=0),
                    machine=_machine(fields),
                )
        except FieldError as error:
            raise MeasurementError(str(error)) from None


def this_machine() -> Machine:
    """What this process runs on."""
    return Machine(
        architecture=_printable(platform.machine()),
        processor=_printable(_processor()),
        system=_printable(f"{platform.system()} {platform.release()}"),
        cores=os.cpu_count() or 1,
    )


def _machine(fields: Fields) -> Machine:
    with fields.mapping("machine") as part:
        return Machine(
            architecture=part.text("architecture", shortest=0),
            processor=part.text("processor", shortest=0),
            system=part.text("system", shortest=0),
            cores=part.whole("cores", 1, 65536),
        )


def _moment(fields: Fields) -> str:
    text = fields.text("measured_at", _MOMENT)
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise FieldError(f"{fields.where}.measured_at: {text!r} is no moment") from None
    return text


def _processor() -> str:
    """A board's name where there is one, else the processor's."""
    try:
        return Path("/proc/device-tree/model").read_text("utf-8", "replace")
    except OSError:
        pass
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1] for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _printable(text: str) -> str:
    """What a reader takes: the device tree ends its texts with a zero byte."""
    kept = "".join(letter for letter in text if letter.isprintable())
    return " ".join(kept.split())[:200]
