"""Records of a file in place of a sensor, one for every tick."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edge_client.features.spec import Quantity
from edge_client.monitor.quantities import MONITORED
from edge_client.monitor.schedule import Tick
from edge_client.monitor.sensor import Sample
from edge_client.records import read_records

_QUANTITIES = tuple(Quantity(each.short, each.column, each.unit) for each in MONITORED)


class Replay:
    """The records of a CSV, as if each were measured now.

    What lies between two records of the file is told by their indices alone: a gap is no shorter
    than it was, but nobody waits for its end.
    """

    def __init__(self, source: Path | str | bytes, name: str | None = None) -> None:
        """Reads the file, plain or zipped; see :func:`~edge_client.records.read_records`.

        Raises:
            RecordsError: it is no file of such records.
        """
        records = read_records(source, _QUANTITIES, name)
        self.name = name or str(source)
        self._values = records.values
        self._indices = _indices(records.time)
        self._next = 0

    def __len__(self) -> int:
        return len(self._values)

    def sample(self, tick: Tick) -> Sample | None:
        number = self._next
        if number >= len(self):
            return None
        self._next += 1
        temperature, humidity = map(float, self._values[number])
        return Sample(int(self._indices[number]), time.time(), (temperature, humidity))

    def close(self) -> None:
        """There is nothing to give back."""


def _indices(seconds: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.int64]:
    """Numbers that follow one another where records do.

    Two records do when they are one usual distance apart, give or take half of it, as in
    :func:`~edge_client.records.window_starts`.
    """
    if len(seconds) < 2:
        return np.zeros(len(seconds), np.int64)
    distances = np.diff(seconds)
    usual = float(np.median(distances))
    follows = np.abs(distances - usual) <= usual / 2
    steps = np.where(follows, 1, np.maximum(2, np.rint(distances / usual)))
    return np.concatenate(([0], np.cumsum(steps))).astype(np.int64)
