"""Ticks lie on a grid, whatever the readings between them take."""

from __future__ import annotations

import itertools
from threading import Event

import pytest

from edge_client.monitor.schedule import Schedule, clock


class Clock:
    """Time that passes only while it is waited for, or where a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def is_set(self):
        return False

    def wait(self, seconds):
        self.now += seconds
        return False


def taken(durations, interval=1.0):
    """Numbers of ticks and when they came, where readings take so long."""
    time = Clock()
    seen = []
    ticks = Schedule(interval, time).ticks(time)
    for duration in durations:
        tick = next(ticks)
        assert tick.until == pytest.approx(1000 + (tick.number + 0.6) * interval)
        seen.append((tick.number, time.now - 1000))
        time.now += duration
    return seen


def test_what_a_reading_takes_does_not_delay_the_next():
    assert taken([0.4, 0.7, 0.0, 0.9, 0.1]) == [(n, float(n)) for n in range(5)]


def test_it_does_not_drift_over_a_day():
    times = taken([0.3] * 86_400)
    assert times[-1] == (86_399, pytest.approx(86_399, abs=1e-6))


def test_who_is_a_little_late_is_on_time_again_at_the_next():
    assert taken([1.375, 0.1, 0.1]) == [(0, 0.0), (1, 1.375), (2, 2.0)]


def test_who_is_very_late_misses_ticks():
    assert taken([3.6, 0.1]) == [(0, 0.0), (4, 4.0)]
    assert taken([3.375, 0.1, 0.1]) == [(0, 0.0), (3, 3.375), (4, 4.0)]


def test_it_stops_when_told():
    stop = Event()
    ticks = Schedule(3600).ticks(stop)
    assert next(ticks).number == 0
    stop.set()
    assert list(ticks) == []
    assert list(itertools.islice(Schedule(3600).ticks(stop), 1)) == []


def test_the_clock_runs():
    assert clock() <= clock()
