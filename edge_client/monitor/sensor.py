"""What gives temperature and humidity, once for every tick of a schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from edge_client.errors import EdgeError
from edge_client.monitor.schedule import Tick


class SensorError(EdgeError):
    """A sensor that is not there, or cannot be had."""


class SensorFault(EdgeError):
    """A sensor that gave nothing this time; the next time it may."""


@dataclass(frozen=True)
class Sample:
    """Both quantities at one moment."""

    index: int  # one more than that of the sample before, where none is missing between them
    time: float  # Unix seconds
    values: tuple[float, float]  # temperature in °C, relative humidity in %; NaN where missing

    @property
    def whole(self) -> bool:
        """Whether neither value is missing."""
        return all(map(math.isfinite, self.values))


class Sensor(Protocol):
    """A thermometer with a hygrometer, or what stands in for one."""

    name: str

    def sample(self, tick: Tick) -> Sample | None:
        """The sample of this tick; None when there will be no more.

        Raises:
            SensorFault: nothing could be read in time.
        """

    def close(self) -> None:
        """Gives the sensor back."""
