"""Golden inputs: spread over the split, raw as a device gets them, numbers only."""

from __future__ import annotations

import numpy as np
import pytest

from components.constraint_evaluator.manifest import golden


@pytest.mark.parametrize(
    ("count", "lost", "places"),
    [(9, (), [0, 4, 8]), (2, (), [0, 1]), (1, (), [0]), (9, (0, 8), [1, 4, 7]), (2, (0, 1), [])],
)
def test_places(count: int, lost: tuple[int, ...], places: list[int]) -> None:
    inputs = np.arange(count * 4, dtype=np.int16).reshape(count, 4)
    outputs = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    outputs[list(lost), 1] = np.nan
    chosen = golden(inputs, outputs)
    assert [np.frombuffer(g.input, "<i2").tolist() for g in chosen] == inputs[places].tolist()
    assert [list(g.output) for g in chosen] == outputs[places].tolist()


def test_records_are_float32() -> None:
    windows = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 6, 2)
    (only,) = golden(windows, np.ones((1, 3, 2), np.float32))
    assert only.input == windows.astype("<f4").tobytes()
    assert only.output == (1.0,) * 6
