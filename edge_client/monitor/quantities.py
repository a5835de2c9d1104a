"""The two quantities that are monitored, and what each is called where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Monitored:
    """A quantity."""

    name: str  # in topics and SenML
    title: str  # to a person
    unit: str  # SenML's (RFC 8428, section 12.1)
    sign: str  # of the unit, to a person
    short: str  # in forecasts and records of ours
    column: str  # in the Jena layout


TEMPERATURE = Monitored("temperature", "Temperature", "Cel", "°C", "T", "T (degC)")
HUMIDITY = Monitored("humidity", "Humidity", "%RH", "%", "RH", "rh (%)")
MONITORED = (TEMPERATURE, HUMIDITY)  # in the order of samples and forecasts
