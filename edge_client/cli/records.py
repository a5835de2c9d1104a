"""How far forecasts lie from the records that followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_client.features.spec import RecordWindow
from edge_client.records import Records, window_starts

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class QuantityError:
    """Mean absolute error of one quantity over windows and steps, in its unit."""

    name: str
    unit: str
    model: float
    persistence: float  # of repeating the last record


@dataclass(frozen=True)
class Errors:
    """Of the windows whose following records are there."""

    windows: int
    quantities: tuple[QuantityError, ...]


def errors(
    records: Records, window: RecordWindow, starts: npt.NDArray[np.int64], forecasts: Float32
) -> Errors:
    """Compares forecasts with what followed.

    Args:
        records: the records forecast from.
        window: its steps.
        starts: ``[n]`` first record of each window, ascending.
        forecasts: ``[n, output_steps, quantities]``.
    """
    followed = window_starts(records.time, records.values, window)
    if not len(followed):
        return Errors(0, ())
    given = forecasts[np.searchsorted(starts, followed)]
    last = followed + window.input_steps - 1
    after = records.values[last[:, np.newaxis] + 1 + np.arange(window.output_steps)]
    model = np.abs(given - after).mean((0, 1), dtype=np.float64)
    persistence = np.abs(records.values[last][:, np.newaxis] - after).mean((0, 1), dtype=np.float64)
    return Errors(
        len(followed),
        tuple(
            QuantityError(quantity.name, quantity.unit, float(ours), float(theirs))
            for quantity, ours, theirs in zip(window.quantities, model, persistence, strict=True)
        ),
    )


def summary(found: Errors) -> str:
    """One line."""
    if not found.windows:
        return "no window is followed by enough records to compare with"
    parts = ", ".join(
        f"{q.name} {q.model:.4f} {q.unit} (persistence {q.persistence:.4f})"
        for q in found.quantities
    )
    return f"{found.windows} windows with records to compare: mean absolute error {parts}"
