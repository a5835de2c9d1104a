"""The interval of a correlated series against repeated sampling."""

from __future__ import annotations

import math

import numpy as np

from components.constraint_evaluator.intervals import mean_of_series


def test_series_interval_covers_the_mean_of_a_correlated_series() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        noise = rng.standard_normal(4011)
        series = np.convolve(noise, np.full(12, 1 / 12), "valid")  # overlapping windows
        low, high = mean_of_series(series)
        covered += low <= 0 <= high
    assert 180 <= covered <= 200  # 95 % of 200 are 190; the plain interval covers about 90


def test_short_series_promises_nothing() -> None:
    assert mean_of_series(np.ones(10)) == (-math.inf, math.inf)
