"""What time it is at least, whatever the clock of the system says."""

from __future__ import annotations

import pytest

from edge_client.fleet.update.clock import TIMESTAMP_LIFE_S, TrustedClock

NOW = 1_800_000_000.0
DAY = 86_400.0


class Times:
    system, steady = NOW, 0.0


@pytest.fixture
def times():
    return Times()


@pytest.fixture
def restarted(times, tmp_path):
    def restarted():
        return TrustedClock(tmp_path / "clock.json", lambda: times.system, lambda: times.steady)

    return restarted


def test_nothing_is_known_at_first(restarted):
    assert restarted().proven() == 0


def test_a_clock_that_is_right_is_kept(restarted, times):
    restarted().learn(NOW + DAY / 2, 1)  # a timestamp of half a day ago
    assert restarted().proven() == NOW - DAY / 2
    times.system = 0.0
    assert restarted().proven() == NOW - DAY / 2


def test_a_clock_of_1970_learns_from_metadata_and_counts_on(restarted, times):
    times.system = 5.0
    clock = restarted()
    clock.learn(NOW + TIMESTAMP_LIFE_S, 1)
    times.steady += 100
    assert clock.proven() == NOW + 100
    clock.learn(NOW, 1)  # nothing takes it back
    assert clock.proven() == NOW + 100


def test_a_clock_that_is_ahead_leaves_nothing_that_is(restarted, times):
    times.system = NOW + 5000 * DAY
    restarted().learn(NOW + DAY, 1)
    times.system = NOW
    assert restarted().proven() == NOW


def test_metadata_of_the_far_future_does_nothing_to_a_right_clock(restarted):
    restarted().learn(NOW + 5000 * DAY, 1)
    assert restarted().proven() == NOW


def test_a_new_root_takes_back_what_the_old_one_was_told(restarted, times):
    times.system = 5.0
    restarted().learn(NOW + 5000 * DAY, 1)
    assert restarted().proven() > NOW + 4000 * DAY
    restarted().learn(NOW + DAY, 2)
    assert restarted().proven() == NOW


def test_little_is_written(restarted, times, tmp_path):
    clock = restarted()
    clock.learn(NOW + DAY, 1)
    before = (tmp_path / "clock.json").stat().st_ino
    times.system += 60
    clock.learn(NOW + 60 + DAY, 1)
    assert (tmp_path / "clock.json").stat().st_ino == before
    times.system += DAY
    clock.learn(NOW + 2 * DAY, 1)
    assert (tmp_path / "clock.json").stat().st_ino != before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"time": "x", "root": 1}', '{"time": NaN}'])
def test_what_cannot_be_read_is_nothing(restarted, tmp_path, text):
    (tmp_path / "clock.json").write_text(text)
    assert restarted().proven() == 0
