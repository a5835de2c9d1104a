from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from edge_client.budget import HOUR, HourlyBudget

# Seconds until the next request begins, how long it takes, its bytes.
requests = st.lists(
    st.tuples(st.floats(0, HOUR), st.floats(0, 600), st.integers(0, 50)), max_size=60
)


@given(requests, st.integers(0, 120), st.integers(0, 6))
def test_no_hour_ever_sees_more_than_the_limits(requests, max_bytes, max_requests):
    """Simulated one after another: whatever moment a byte left at, its hour is within."""
    now = 0.0
    budget = HourlyBudget(max_bytes, max_requests, lambda: now)
    sent = []  # begin, end, bytes
    for wait, takes, size in requests:
        now += wait
        if budget.reserve(size):
            began, now = now, now + takes
            budget.settle(size)
            sent.append((began, now, size))
    for first, _, _ in sent:
        # Every hour that matters begins with some request's first byte or ends with its last.
        for begin in (first, max(0.0, first - HOUR)):
            inside = [s for b, e, s in sent if e >= begin and b <= begin + HOUR]
            assert sum(inside) <= max_bytes
            assert len(inside) <= max_requests


def test_room_comes_back_after_an_hour():
    now = 0.0
    budget = HourlyBudget(max_bytes=100, clock=lambda: now)
    assert budget.reserve(60)
    assert not budget.reserve(41)
    assert budget.reserve(40)
    now = 10.0
    budget.settle(60)
    now = 10.0 + HOUR
    assert not budget.reserve(1)
    now = 11.0 + HOUR
    assert budget.reserve(60)
    assert not budget.reserve(1)  # the other one is still under way


def test_what_was_not_sent_after_all_costs_nothing():
    budget = HourlyBudget(max_bytes=100, max_requests=1)
    for _ in range(5):
        assert budget.reserve(100)
        budget.release(100)


def test_without_limits_nothing_is_refused():
    budget = HourlyBudget()
    for _ in range(1000):
        assert budget.reserve(10**9)
        budget.settle(10**9)


def test_threads_together_stay_within():
    budget = HourlyBudget(max_bytes=1000)
    taken = []

    def take():
        for _ in range(500):
            if budget.reserve(3):
                taken.append(3)
                budget.settle(3)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 999
