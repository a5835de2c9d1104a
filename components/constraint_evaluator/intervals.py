"""95 % confidence intervals of the figures a verdict rests on."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

_Z = 1.959963984540054  # 97.5 % quantile of the standard normal distribution
_BLOCKS = 20


def wilson(correct: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a share, as two shares between 0 and 1.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927). Unlike the normal interval it stays inside
    0..1 and is honest near the ends.
    """
    share = correct / total
    weight = 1 + _Z**2 / total
    center = (share + _Z**2 / (2 * total)) / weight
    half = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2)) / weight
    return max(0.0, center - half), min(1.0, center + half)


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
