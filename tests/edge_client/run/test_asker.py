from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edge_client.big.client import Because, Unanswered
from edge_client.run.asker import Asker


class Patient:
    """A client whose answers come when the test says so, which no server can promise."""

    def __init__(self):
        self.go = threading.Event()
        self.counting = threading.Lock()
        self.asked = self.late = 0

    def overdue(self):
        self.late += 1

    def ask(self, question):
        with self.counting:
            self.asked += 1
        assert self.go.wait(30)
        if isinstance(question, Exception):
            raise question
        return np.array(question)


@pytest.fixture
def client():
    made = Patient()
    yield made
    made.go.set()


def settled(asker):
    outcomes, deadline = [], time.monotonic() + 20
    while asker.pending and time.monotonic() < deadline:
        outcomes += asker.collect(0.05)
    return outcomes


def test_a_full_queue_takes_no_more_and_does_not_wait(client):
    asker = Asker(client, threads=2, timeout=20.0)
    tickets = [asker.submit([0.5, 0.5]) for _ in range(2)]
    while client.asked < 2:
        time.sleep(0.01)
    while (ticket := asker.submit([0.5, 0.5])) is not None:
        tickets.append(ticket)
    assert asker.pending == len(tickets) == 2 + 2 * 4
    assert asker.collect() == []
    client.go.set()
    outcomes = settled(asker)
    assert sorted(outcome.ticket for outcome in outcomes) == tickets
    assert all(outcome.scores.tolist() == [0.5, 0.5] for outcome in outcomes)
    assert asker.submit([0.5, 0.5]) is not None


def test_what_becomes_of_questions(client):
    client.go.set()
    asker = Asker(client, threads=1, timeout=20.0)
    asker.submit([1.0, 0.0])
    asker.submit(Unanswered(Because.BUDGET, "used up"))
    asker.submit(ZeroDivisionError("a fault of ours"))
    good, refused, fault = sorted(settled(asker), key=lambda outcome: outcome.ticket)
    assert (good.because, good.error) == (None, None)
    assert (refused.scores, refused.because, refused.message) == (None, Because.BUDGET, "used up")
    assert isinstance(fault.error, ZeroDivisionError)
    assert min(good.queued_ms, good.asking_ms) >= 0


def test_what_hangs_longer_than_any_timeout_is_given_up_on(client):
    """Time-outs do not cover name resolution."""
    asker = Asker(client, threads=1, timeout=-0.95)  # patience is a second more
    asker.submit([1.0, 0.0])
    asker.submit([1.0, 0.0])  # waits behind it for ever
    outcomes = settled(asker)
    assert [outcome.because for outcome in outcomes] == [Because.UNREACHABLE] * 2
    assert client.late == 2
    client.go.set()
    assert asker.collect(0.2) == []  # too late, and nobody's


def test_a_fault_is_told_even_when_its_question_was_given_up_on(client):
    asker = Asker(client, threads=1, timeout=20.0)
    ticket = asker.submit(ZeroDivisionError("a fault of ours"))
    while not client.asked:
        time.sleep(0.01)
    asker.give_up()
    client.go.set()
    (late,) = asker.collect(20.0)
    assert (late.ticket, type(late.error)) == (ticket, ZeroDivisionError)


def test_giving_up_leaves_nothing_pending(client):
    asker = Asker(client, threads=1, timeout=20.0)
    tickets = [asker.submit([1.0, 0.0]) for _ in range(3)]
    outcomes = asker.give_up()
    assert [outcome.ticket for outcome in outcomes] == tickets
    assert all(outcome.because is Because.UNREACHABLE for outcome in outcomes)
    assert asker.pending == 0


def test_closing_ends_the_threads_and_asks_nothing_more(client):
    before = set(threading.enumerate())
    asker = Asker(client, threads=2, timeout=20.0)
    for _ in range(6):
        asker.submit([1.0, 0.0])
    threads = set(threading.enumerate()) - before
    while client.asked < 2:
        time.sleep(0.01)
    asker.close()
    client.go.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert client.asked == 2
