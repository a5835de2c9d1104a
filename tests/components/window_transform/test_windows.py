"""Cutting windows: what hypothesis can think of, against a loop that cannot be wrong."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.window_transform.series import cut_windows
from edge_client.features.spec import Quantity, RecordWindow

INTERVAL = 600


@st.composite
def recorded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, RecordWindow]:
    """Times that jitter and jump, values with holes, and a window."""
    quantities = draw(st.integers(1, 3))
    steps = draw(st.lists(st.sampled_from([600, 600, 600, 590, 640, 300, 1200, 6000]), max_size=40))
    time = 1_600_000_000 + np.cumsum([0, *steps]).astype(np.int64)
    values = np.arange(len(time) * quantities, dtype=np.float32).reshape(len(time), quantities)
    for hole in draw(st.sets(st.integers(0, values.size - 1), max_size=3)):
        values.flat[hole] = np.nan
    window = RecordWindow(
        tuple(Quantity(f"q{i}", f"q{i}", "Cel") for i in range(quantities)),
        input_steps=draw(st.integers(1, 6)),
        output_steps=draw(st.integers(1, 6)),
        interval_s=INTERVAL,
    )
    return time, values, window


def naive(time: np.ndarray, values: np.ndarray, window: RecordWindow) -> list[int]:
    """The first records of all windows, looked for one by one."""
    steps = window.input_steps + window.output_steps
    starts = []
    for start in range(len(time) - steps + 1):
        gaps = [
            abs(time[i + 1] - time[i] - INTERVAL) > INTERVAL / 2
            for i in range(start, start + steps - 1)
        ]
        if not any(gaps) and not np.isnan(values[start : start + steps]).any():
            starts.append(start)
    return starts


@given(recorded())
def test_windows_are_those_of_the_naive_loop(case):
    time, values, window = case
    windows = cut_windows(time, values, window)
    starts = naive(time, values, window)
    quantities = values.shape[1]
    assert windows.inputs.shape == (len(starts), window.input_steps, quantities)
    assert windows.targets.shape == (len(starts), window.output_steps, quantities)
    for index, start in enumerate(starts):
        border = start + window.input_steps
        end = border + window.output_steps
        np.testing.assert_array_equal(windows.inputs[index], values[start:border])
        np.testing.assert_array_equal(windows.targets[index], values[border:end])
        assert windows.time[index] == time[border - 1]


@given(recorded())
def test_no_window_spans_a_gap_or_a_missing_value(case):
    time, values, window = case
    windows = cut_windows(time, values, window)
    assert np.isfinite(windows.inputs).all()
    assert np.isfinite(windows.targets).all()
    for last in windows.time:
        index = int(np.searchsorted(time, last))
        inside = time[index - window.input_steps + 1 : index + window.output_steps + 1]
        assert np.abs(np.diff(inside) - INTERVAL).max(initial=0) <= INTERVAL / 2
