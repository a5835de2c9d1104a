"""Intervals against published values and against repeated sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.constraint_evaluator.intervals import mean_of_series, wilson


def test_wilson_against_newcombe() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share(counts: tuple[int, int]) -> None:
    correct, total = counts
    low, high = wilson(correct, total)
    assert 0 <= low <= correct / total + 1e-12
    assert correct / total - 1e-12 <= high <= 1
    assert low < high


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
