"""Moments gathered piece by piece are those of all rows at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from components.moments import Moments, merge

ROWS = arrays.arrays(
    np.float32, (12, 3), elements=st.floats(-1000, 1000, width=32, allow_nan=False)
)


@given(rows=ROWS, cuts=st.sets(st.integers(1, 11)), offset=st.sampled_from([0, 1e4]))
def test_any_pieces_in_any_order(rows: np.ndarray, cuts: set[int], offset: float):
    rows = rows + np.float32(offset)
    pieces = np.split(rows, sorted(cuts))
    moments = merge([Moments.of(piece) for piece in reversed(pieces)])
    exact = rows.astype(np.float64)
    assert moments.count == 12
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.squares / 12, exact.var(0), rtol=1e-8, atol=1e-9)


def test_far_from_zero_nothing_is_lost():
    # A float32 sum of a million pressures would be wrong in the third digit.
    pressures = (990 + np.arange(1_000_000) % 2).astype(np.float32)[:, np.newaxis]
    pieces = np.array_split(pressures, 100)
    standardisation = merge([Moments.of(piece) for piece in pieces]).standardisation()
    np.testing.assert_allclose(standardisation.mean, [990.5], rtol=1e-12)
    np.testing.assert_allclose(standardisation.std, [0.5], rtol=1e-9)


def test_a_constant_column_is_given_a_deviation_of_one():
    rows = np.array([[0.1, 1.0], [0.1, 2.0]], np.float32)
    standardisation = Moments.of(rows).standardisation()
    np.testing.assert_allclose(standardisation.std, [1.0, 0.5])
