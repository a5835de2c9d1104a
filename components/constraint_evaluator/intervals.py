"""95 % confidence interval of a mean error; that of an accuracy is in ``edge_client.wilson``."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

_BLOCKS = 20


def mean_of_series(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Interval of the mean of a series in time order, ``[n]``, by the method of batch means.

    Neighbouring windows overlap, so their errors are far from independent and the plain normal
    interval would be several times too narrow. The means of ``_BLOCKS`` long consecutive blocks
    are nearly independent; their scatter gives a Student interval (A. M. Law, "Simulation
    Modeling and Analysis", section 9.5.3). Too short a series gives an unbounded interval.
    """
    mean = float(np.mean(values))
    if len(values) < 2 * _BLOCKS:
        return -math.inf, math.inf
    means = np.array([block.mean() for block in np.array_split(values, _BLOCKS)])
    half = stats.t.ppf(0.975, _BLOCKS - 1) * means.std(ddof=1) / math.sqrt(_BLOCKS)
    return mean - float(half), mean + float(half)
