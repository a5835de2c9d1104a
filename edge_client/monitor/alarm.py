"""Alarms: when one is raised, how it travels as SenML, and how it reads.

A pack has the records ``<device>/<quantity>`` (what was measured), ``…/predicted`` and
``…/threshold``, all in the quantity's unit and of the time of the measurement, and
``<device>/model`` (``vs``: name and version).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime

from edge_client.errors import EdgeError
from edge_client.fleet.names import NAME
from edge_client.monitor.quantities import HUMIDITY, MONITORED, TEMPERATURE, Monitored
from edge_client.senml import Form, Limits, Record, SenmlError, parse, write
from edge_client.senml.record import ABSOLUTE_TIME

MAX_ALARM_BYTES = 4096
_LIMITS = Limits(records=16, items=200)
# The last day of the year 9999 at Greenwich, of which some time zones have a part in 10000.
_LATEST = 253402214400.0


class AlarmError(EdgeError):
    """A message that is no alarm, or a threshold that can be none."""


@dataclass(frozen=True)
class Thresholds:
    """Absolute errors above which there is an alarm, in °C and in % of relative humidity."""

    temperature: float
    humidity: float

    def __post_init__(self) -> None:
        for quantity in MONITORED:
            if not 0 <= self.of(quantity) < math.inf:
                raise AlarmError(
                    f"threshold of {quantity.name}: {self.of(quantity):g} where a number from 0 "
                    f"on is wanted, in {quantity.sign}"
                )

    def of(self, quantity: Monitored) -> float:
        """The one of a quantity."""
        return {TEMPERATURE: self.temperature, HUMIDITY: self.humidity}[quantity]


@dataclass(frozen=True)
class Alarm:
    """One quantity that came otherwise than predicted."""

    quantity: Monitored
    predicted: float
    actual: float
    threshold: float
    time: float  # Unix seconds, of the measurement
    device: str
    model: str  # name and version; empty where it is not said
    dated: bool = True  # False of one that arrived without a time: then it is that of arrival

    def line(self) -> str:
        """``(05/12/2022 19:15:01) Humidity Alert: Predicted=48.8% Actual=50.1%``, local time."""
        moment = datetime.fromtimestamp(self.time).strftime("%d/%m/%Y %H:%M:%S")
        predicted, actual = (
            f"{round(value, 1) + 0.0:.1f}{self.quantity.sign}"  # + 0.0: no minus before 0.0
            for value in (self.predicted, self.actual)
        )
        return f"({moment}) {self.quantity.title} Alert: Predicted={predicted} Actual={actual}"

    def serialise(self) -> bytes:
        """The message, in SenML."""
        base, unit = f"{self.device}/", self.quantity.unit
        name, moment = base + self.quantity.name, senml_time(self.time)
        records = [
            Record(name, moment, unit, rounded(self.actual)),
            Record(f"{name}/predicted", moment, unit, rounded(self.predicted)),
            Record(f"{name}/threshold", moment, unit, self.threshold),
        ]
        if self.model:
            records.append(Record(f"{base}model", moment, "", self.model))
        return write(records, Form.JSON, base)


def read_alarm(body: bytes) -> Alarm:
    """Reads such a message, in any form of SenML; raises :class:`AlarmError`."""
    if len(body) > MAX_ALARM_BYTES:
        raise AlarmError(f"alarm: {len(body)} bytes; {MAX_ALARM_BYTES} are taken")
    try:
        records = parse(body, limits=_LIMITS).records
    except SenmlError as error:
        raise AlarmError(f"alarm: {error}") from None
    named = {record.name: record for record in records}
    device = records[0].name.partition("/")[0]
    told = [each for each in MONITORED if f"{device}/{each.name}" in named]
    if not NAME.fullmatch(device) or len(told) != 1 or len(named) != len(records):
        raise AlarmError("alarm: temperature or humidity of one device is wanted")
    (quantity,) = told
    name = f"{device}/{quantity.name}"
    model = named.get(f"{device}/model", Record("", value="")).value
    stated = named[name].time
    moment = stated or time.time()  # without one it means now (RFC 8428, 4.5.3)
    if not 0 < moment < _LATEST:
        raise AlarmError(f"alarm: a time of {moment:g} s")
    return Alarm(
        quantity,
        predicted=_number(named, f"{name}/predicted", quantity),
        actual=_number(named, name, quantity),
        threshold=_number(named, f"{name}/threshold", quantity),
        time=moment,
        device=device,
        model=model[:140] if isinstance(model, str) else "",
        dated=bool(stated),
    )


def _number(named: dict[str, Record], name: str, quantity: Monitored) -> float:
    record = named.get(name)
    if record is None or not isinstance(record.value, float) or record.unit != quantity.unit:
        raise AlarmError(f"alarm: no number for {name[:80]!r} in {quantity.unit}")
    return record.value


def rounded(value: float) -> float:
    """A float32 as a short number: printed as float64 it is twice as long, and says no more."""
    return round(value, 4)


def senml_time(seconds: float) -> float:
    """The same; none (0.0) where it is too early for SenML, by a clock that was never set."""
    return seconds if seconds >= ABSOLUTE_TIME else 0.0
