"""How far a measured share can be trusted."""

from __future__ import annotations

from math import sqrt

_Z95 = 1.959963984540054  # of the normal distribution, two-sided 95 %


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of ``hits / trials``, both ends in [0, 1].

    E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212; unlike the
    normal approximation it holds near 1, where good models live.

    Raises:
        ValueError: no trials.
    """
    if trials < 1:
        raise ValueError("an interval of no trials")
    share, square = hits / trials, _Z95**2
    centre = share + square / (2 * trials)
    half = _Z95 * sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    whole = 1 + square / trials
    # Rounding must not leave out 0 of n or n of n, where an end of the interval is the share.
    low, high = min(share, (centre - half) / whole), max(share, (centre + half) / whole)
    return max(0.0, low), min(1.0, high)
