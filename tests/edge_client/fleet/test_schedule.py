from __future__ import annotations

from itertools import pairwise

import pytest

from edge_client.fleet.service.schedule import BACK_OFF_S, BURST, SPACING_S, SPARING_S, Schedule


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def schedule(clock):
    return Schedule(600, clock, lambda: 0.5)  # no jitter


def test_due_at_once_then_by_and_by(schedule, clock):
    assert schedule.wait_s() == 0
    schedule.looked()
    assert schedule.wait_s() == 600
    clock.now += 601
    assert schedule.wait_s() == 0


def test_an_announcement_is_looked_at_at_once(schedule, clock):
    schedule.looked()
    clock.now += 10
    schedule.hint()
    assert schedule.wait_s() == 0
    schedule.begin()
    schedule.looked()
    assert schedule.wait_s() == 600


def test_a_large_fleet_spreads_its_looks_after_an_announcement(clock):
    waits = []
    for chance in (0.0, 0.25, 1.0):
        one = Schedule(600, clock, lambda chance=chance: chance)
        one.looked()
        clock.now += 1
        one.hint(spread_s=20)
        waits.append(one.wait_s())
    assert waits == [0, 5, 20]


def test_a_spread_puts_off_nothing_that_is_due_before(schedule, clock):
    schedule.looked()
    schedule.hint(spread_s=20)
    schedule.hint(spread_s=1e300)
    assert schedule.wait_s() == 10
    schedule.hint()
    assert schedule.wait_s() == SPACING_S
    schedule.begin()
    schedule.hint(spread_s=1e300)  # while we look: the poll comes before it
    schedule.looked()
    assert schedule.wait_s() == 600
    schedule.begin()
    schedule.hint(spread_s=20)
    schedule.looked()
    assert schedule.wait_s() == 10


@pytest.mark.parametrize("end", ["looked", "failed"])
def test_what_is_announced_while_we_look_is_looked_at_next(schedule, end):
    """But a flood of announcements is not looked at as fast as it comes."""
    schedule.begin()
    schedule.hint()
    schedule.hint()
    getattr(schedule, end)()
    assert schedule.wait_s() == SPACING_S


@pytest.mark.parametrize("end", ["looked", "failed"])
def test_a_flood_of_announcements_is_looked_at_sparingly(schedule, clock, end):
    """Whoever may speak on the broker neither wears the flash card out nor beats the registry."""
    looks = []
    while clock.now < 1600:
        schedule.hint()  # a hundred a second
        if not schedule.wait_s():
            schedule.begin()
            looks.append(clock.now)
            clock.now += 0.01
            getattr(schedule, end)()
        clock.now += 0.01
    assert len(looks) <= BURST + 600 / SPARING_S + 1
    assert min(later - one for one, later in pairwise(looks)) >= SPACING_S
    clock.now += BURST * SPARING_S  # and once it is over, all is as before
    schedule.hint()
    assert schedule.wait_s() == 0


def test_a_registry_that_is_away_is_asked_less_and_less(schedule):
    waits = []
    for _ in range(30):
        schedule.failed()
        waits.append(schedule.wait_s())
    assert waits[:4] == [2, 4, 8, 16]
    assert waits == sorted(waits)
    assert waits[-1] == BACK_OFF_S[1]
    schedule.looked()
    schedule.failed()
    assert schedule.wait_s() == 2


def test_never_later_than_the_poll(clock):
    often = Schedule(5, clock, lambda: 0.5)
    for _ in range(9):
        often.failed()
    assert often.wait_s() == 5


def test_a_fleet_started_together_does_not_ask_together(clock):
    waits = []
    for chance in (0.0, 0.3, 1.0):
        one = Schedule(600, clock, lambda chance=chance: chance)
        one.looked()
        waits.append(one.wait_s())
    assert waits == pytest.approx([480, 552, 720])
