"""The DHT-11, through Adafruit's library: a sensor of one wire that fails now and then."""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import Any, Protocol

from edge_client.monitor.schedule import Tick, clock
from edge_client.monitor.sensor import Sample, SensorError, SensorFault

_SPECIFICATION = re.compile(r"dht11:(?:GPIO|D)([0-9]{1,2})", re.ASCII | re.IGNORECASE)
_PAUSE_S = 0.05  # between a failed attempt and the next


class Driver(Protocol):
    """What is used of ``adafruit_dht.DHT11``."""

    temperature: float | None
    humidity: float | None

    def measure(self) -> None:
        """Asks the sensor; raises RuntimeError where its answer cannot be understood."""

    def exit(self) -> None:
        """Gives the pin back."""


class Dht11:
    """A DHT-11 on a pin."""

    def __init__(self, driver: Driver, name: str = "dht11") -> None:
        self.name = name
        self._driver = driver

    def sample(self, tick: Tick) -> Sample:
        """Asks until an answer is understood, for as long as attempts may begin.

        Raises:
            SensorFault: no answer was; it holds what the library said last.
        """
        while True:
            try:
                return Sample(tick.number, time.time(), self._measured())
            # OSError: the kernel would not give the pin.
            except (RuntimeError, OSError) as error:
                if clock() + _PAUSE_S >= tick.until:
                    raise SensorFault(f"{self.name}: {' '.join(str(error).split())}") from None
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        self._driver.exit()

    def _measured(self) -> tuple[float, float]:
        # For two seconds after an attempt, failed ones included, the library would hand out what
        # it measured before; the sensor itself can be read every second.
        self._driver._last_called = 0  # type: ignore[attr-defined]
        self._driver.measure()
        temperature, humidity = self._driver.temperature, self._driver.humidity
        if temperature is None or humidity is None:
            raise RuntimeError("no measurement")
        return float(temperature), float(humidity)


def pin_of(specification: str) -> int:
    """The pin of ``dht11:GPIO4``; raises :class:`SensorError`."""
    found = _SPECIFICATION.fullmatch(specification)
    if found is None:
        raise SensorError(f"sensor {specification[:40]!r}: dht11:GPIO and the pin's number wanted")
    return int(found[1])


def open_dht11(specification: str) -> Dht11:
    """The sensor of ``dht11:GPIO4``.

    Raises:
        SensorError: no such specification, no library, no such pin, or it cannot be had.
    """
    pin = pin_of(specification)
    library, board = _library("adafruit_dht"), _library("board")
    at = getattr(board, f"D{pin}", None)
    if at is None:
        raise SensorError(f"sensor {specification}: this board has no pin GPIO{pin}")
    try:
        # Without the helper process for timing, which 64-bit systems lack.
        driver = library.DHT11(at, use_pulseio=False)
    except (RuntimeError, ValueError, OSError) as error:
        raise SensorError(f"sensor {specification}: cannot be had ({error})") from None
    return Dht11(driver, specification)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise SensorError(
            'sensor: the library of the DHT-11 is not installed; pip install "ml4iot-edge[dht]"'
        ) from None
    except Exception as error:  # on a board it does not know, the library raises what it likes
        raise SensorError(
            f"sensor: this machine has no pins that {name} knows ({error}); --replay needs none"
        ) from None
