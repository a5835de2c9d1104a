"""Mean and deviation gathered piece by piece, in any order, as Beam's workers deliver them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from edge_client.features.spec import Standardisation

Float64 = npt.NDArray[np.float64]

# A column whose deviation is this small beside its mean is constant but for rounding.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Moments:
    """Of ``count`` rows: the ``mean`` ``[n]`` and the sum of squared deviations from it ``[n]``."""

    count: int
    mean: Float64
    squares: Float64

    @classmethod
    def of(cls, rows: npt.NDArray[np.float32]) -> Moments:
        """The moments of ``[rows, n]``, summed in float64; at least one row, all finite."""
        mean = rows.mean(axis=0, dtype=np.float64)
        deviation = rows - mean
        return cls(len(rows), mean, np.einsum("ij,ij->j", deviation, deviation))

    def merged(self, other: Moments) -> Moments:
        """The moments of both sets of rows (Chan, Golub and LeVeque, 1979).

        No difference of large sums occurs, so quantities far from 0 (pressure in mbar) lose
        nothing.
        """
        count = self.count + other.count
        step = other.mean - self.mean
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.squares + other.squares + step**2 * (self.count * other.count / count),
        )

    def standardisation(self) -> Standardisation:
        """Mean and (population) standard deviation of each column.

        A constant column tells nothing; its deviation is given as 1, so that it becomes 0.  Mel
        filters narrower than a bin of a short frame's spectrum are such columns.
        """
        std = np.sqrt(self.squares / self.count)
        std[std <= _CONSTANT * np.maximum(1, np.abs(self.mean))] = 1
        return Standardisation(tuple(self.mean.tolist()), tuple(std.tolist()))


def merge(parts: list[Moments]) -> Moments:
    """The moments of all rows of at least one part."""
    return reduce(Moments.merged, parts)
