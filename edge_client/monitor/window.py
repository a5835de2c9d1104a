"""The last samples, where none is missing among them."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from edge_client.monitor.sensor import Sample

Float32 = npt.NDArray[np.float32]


class Window:
    """So many samples, each one index after the one before, none with a missing value."""

    def __init__(self, steps: int) -> None:
        self._samples: deque[Sample] = deque(maxlen=steps)

    def add(self, sample: Sample) -> bool:
        """Takes the next sample; whether the window is whole with it.

        A sample that does not follow the last one begins a new window; one with a missing value
        ends the one there was.
        """
        if self._samples and sample.index != self._samples[-1].index + 1:
            self._samples.clear()
        if not sample.whole:
            self._samples.clear()
            return False
        self._samples.append(sample)
        return len(self._samples) == self._samples.maxlen

    def values(self) -> Float32:
        """``[samples, 2]``: temperature and humidity, the oldest first."""
        return np.array([sample.values for sample in self._samples], np.float32)
