"""What is compared with what, when there is an alarm, and what counts as missing."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.monitor.alarm import Thresholds
from edge_client.monitor.loop import Monitor
from edge_client.monitor.schedule import Tick
from edge_client.monitor.sensor import Sample, SensorFault

NOTHING = object()


def repeats(steps=1, bad=False):
    """Forecasts the last of three samples again, a tenth more with each step."""

    def forecast(samples):
        assert samples.shape == (3, 2)
        made = samples[-1] + 0.1 * np.arange(1, steps + 1)[:, np.newaxis]
        return np.full_like(made, np.nan) if bad else made.astype(np.float32)

    forecast.name, forecast.input_steps, forecast.output_steps = "repeats:1", 3, steps
    return forecast


def watched(readings, thresholds=(0.5, 2.0), ahead=1, ticks=None, room=True, bad=False):
    """A monitor after so many readings: pairs, or NOTHING where the sensor fails."""
    ticks = range(len(readings)) if ticks is None else ticks
    given_ = iter(zip(ticks, readings, strict=True))
    seen = SimpleNamespace(samples=[], alarms=[], faults=[])

    def sample(tick):
        number, reading = next(given_)
        assert number == tick.number
        if reading is NOTHING:
            raise SensorFault("sensor: nothing")
        return Sample(number, 1e9 + number, reading)

    monitor = Monitor(
        repeats(3, bad),
        "pi",
        Thresholds(*thresholds),
        seen.samples.append,
        lambda alarm: seen.alarms.append(alarm) or room,
        seen.faults.append,
        ahead,
    )
    monitor.run(SimpleNamespace(sample=sample), [Tick(n, 0.0) for n in ticks])
    return seen, monitor.tally


def test_the_sample_after_a_window_is_compared_and_only_errors_above_are_told():
    calm = [(20.0, 50.0)] * 4
    seen, tally = watched([*calm, (20.25, 54.0), (20.25, 54.0), (19.0, 54.0)])
    told = [(a.time - 1e9, a.quantity.name, round(a.predicted, 4), a.actual) for a in seen.alarms]
    assert told == [(4, "humidity", 50.1, 54.0), (6, "temperature", 20.35, 19.0)]
    assert {(a.device, a.model) for a in seen.alarms} == {("pi", "repeats:1")}
    assert [a.threshold for a in seen.alarms] == [2.0, 0.5]
    assert (tally.samples, tally.windows, tally.compared) == (7, 5, 4)
    assert tally.alarms == {"temperature": 1, "humidity": 1}
    assert tally.to_json()["mean_absolute_error"] == {"temperature": 0.425, "humidity": 1.05}


def test_an_error_of_the_threshold_itself_is_none():
    seen, _ = watched([(20.0, 50.0)] * 3 + [(20.0, 52.0)], thresholds=(1, 52.0 - 50.1 + 1e-5))
    assert seen.alarms == []
    seen, _ = watched([(20.0, 50.0)] * 3 + [(20.0, 52.0)], thresholds=(1, 52.0 - 50.1 - 1e-5))
    assert len(seen.alarms) == 1


def test_a_later_step_is_compared_with_the_sample_so_many_ticks_on():
    readings = [(20.0, 50.0)] * 3 + [(21.0, 50.0), (22.0, 50.0), (23.0, 50.0)]
    seen, tally = watched(readings, ahead=3, thresholds=(0.5, 50))
    assert [(a.time - 1e9, round(a.predicted, 4), a.actual) for a in seen.alarms] == [
        (5, 20.3, 23.0)
    ]
    assert tally.compared == 1


@pytest.mark.parametrize("missing", [NOTHING, (math.nan, 50.0), (20.0, math.nan)])
def test_what_is_missing_ends_the_window_and_is_never_compared(missing):
    calm = [(20.0, 50.0)] * 4
    seen, tally = watched([*calm, missing, (90.0, 50.0), (90.0, 50.0), (90.0, 50.0), (20.0, 50.0)])
    # Only after three samples of the new window.
    assert [a.time - 1e9 for a in seen.alarms] == [8]
    assert tally.compared == 2
    assert (tally.unread, tally.not_finite) == ((1, 0) if missing is NOTHING else (0, 1))
    assert tally.skipped == 0
    assert len(seen.faults) == tally.unread


def test_ticks_passed_over_are_counted_and_end_the_window():
    calm = [(20.0, 50.0)] * 4
    seen, tally = watched([*calm, NOTHING, (90.0, 50.0)], ticks=[0, 1, 2, 3, 5, 8])
    assert seen.alarms == []
    assert (tally.samples, tally.unread, tally.skipped) == (5, 1, 3)


def test_a_forecast_that_is_no_number_is_counted_and_compared_with_nothing():
    _, tally = watched([(20.0, 50.0)] * 5, bad=True)
    assert (tally.windows, tally.bad_forecasts, tally.compared) == (3, 3, 0)
    assert tally.to_json()["mean_absolute_error"] == {"temperature": None, "humidity": None}


def test_alarms_that_found_no_room_are_counted():
    seen, tally = watched([(20.0, 50.0)] * 3 + [(50.0, 50.0)], room=False)
    assert len(seen.alarms) == 1
    assert tally.to_json()["alarms_unsaid"] == 1
    assert "1 of them not said" in tally.line()


@given(
    st.lists(
        st.one_of(
            st.just(NOTHING),
            st.tuples(*[st.one_of(st.just(math.nan), st.floats(-20, 60, width=32))] * 2),
        ),
        max_size=60,
    ),
    st.integers(1, 3),
)
def test_every_tick_is_accounted_for(readings, ahead):
    seen, tally = watched(readings, ahead=ahead)
    assert tally.samples + tally.unread == len(readings)
    assert tally.compared <= tally.windows
    whole = [r is not NOTHING and not any(map(math.isnan, r)) for r in readings]
    windows = [n for n in range(2, len(readings)) if all(whole[n - 2 : n + 1])]
    assert tally.windows == len(windows)
    compared = [n + ahead for n in windows if n + ahead < len(readings) and whole[n + ahead]]
    assert tally.compared == len(compared)
    wanted = {
        (n, name)
        for n in compared
        for position, (name, threshold) in enumerate((("temperature", 0.5), ("humidity", 2.0)))
        if abs(
            float(np.float32(np.float32(readings[n - ahead][position]) + 0.1 * ahead))
            - readings[n][position]
        )
        > threshold
    }
    assert {(a.time - 1e9, a.quantity.name) for a in seen.alarms} == wanted
