from __future__ import annotations

import pytest

from edge_client.big.breaker import Breaker


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


def test_it_opens_after_so_many_failures_in_a_row(clock):
    breaker = Breaker(3, 10.0, clock)
    for _ in range(2):
        breaker.failure()
    breaker.success()
    for _ in range(2):
        assert breaker.allows()
        breaker.failure()
    assert breaker.allows()
    breaker.failure()
    assert not breaker.allows()
    assert breaker.openings == 1


def test_half_open_lets_one_through_at_a_time(clock):
    breaker = Breaker(1, 10.0, clock)
    breaker.failure()
    clock.now += 9.9
    assert not breaker.allows()
    clock.now += 0.1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failure()
    assert breaker.openings == 2
    clock.now += 9.9
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.allows()
    breaker.success()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_failures_of_what_began_before_it_opened_do_not_prolong_the_pause(clock):
    breaker = Breaker(1, 10.0, clock)
    breaker.failure()
    clock.now += 9
    breaker.failure()
    clock.now += 1
    assert breaker.allows()
    assert breaker.openings == 1
