"""When an answer is final, told without a network or a clock."""

from __future__ import annotations

import pytest

from edge_client.cooperation.collector import MAX_NODES, SILENT_AFTER, Collector
from edge_client.cooperation.ensemble import Ensemble, Member
from edge_client.cooperation.messages import Prediction
from edge_client.errors import EdgeError

WAIT = 1.0
LABELS = ("no", "yes")


def says(node, yes, model="", labels=LABELS):
    rest = (1 - yes) / (len(labels) - 1)
    scores = {label: yes if label == "yes" else rest for label in labels}
    return Prediction(node, scores, model)


@pytest.fixture
def collector():
    made = Collector(WAIT)
    for node in ("a", "b"):
        made.joined(node)
    return made


def decided(collector):
    (decision,) = collector.decided
    collector.decided.clear()
    return decision


def test_final_once_all_have_answered(collector):
    collector.published(0, 10.0)
    collector.answer(0, says("a", 0.9), 10.1)
    assert not collector.decided
    assert collector.next_deadline() == 11.0
    collector.answer(0, says("b", 0.4), 10.2)
    decision = decided(collector)
    assert decision.label == "yes"
    assert decision.answered_by == ("a", "b")
    assert decision.missing == ()
    assert decision.latency_ms == pytest.approx(200)
    assert decision.scores["yes"] == pytest.approx(0.36 / (0.36 + 0.06))
    assert collector.in_flight == 0
    assert collector.next_deadline() is None


def test_final_when_the_wait_is_over(collector):
    collector.published(0, 10.0)
    collector.answer(0, says("a", 0.9), 10.1)
    collector.expire(10.999)
    assert not collector.decided
    collector.expire(11.5)  # noticed later than it was over
    decision = decided(collector)
    assert (decision.label, decision.answered_by, decision.missing) == ("yes", ("a",), ("b",))
    assert decision.latency_ms == pytest.approx(1000)


def test_no_answer_is_said_to_be_none(collector):
    collector.published(0, 10.0)
    collector.expire(11.0)
    decision = decided(collector)
    assert (decision.label, decision.scores) == (None, {})
    assert decision.missing == ("a", "b")


def test_an_answer_after_the_wait_is_late_even_if_nobody_looked_meanwhile(collector):
    collector.published(0, 10.0)
    collector.answer(0, says("a", 0.9), 11.2)
    assert decided(collector).label is None
    assert collector.counts.late == 1


def test_late_and_duplicate(collector):
    collector.published(0, 10.0)
    for _ in range(2):
        collector.answer(0, says("a", 0.9), 10.1)
    collector.expire(11.0)
    collector.answer(0, says("a", 0.9), 11.1)
    collector.answer(0, says("b", 0.9), 11.2)
    collector.answer(0, says("b", 0.9), 11.3)
    assert (collector.counts.used, collector.counts.late, collector.counts.duplicate) == (1, 1, 3)
    assert collector.counts.joined == 2


def test_of_two_answers_of_one_node_the_first_counts(collector):
    collector.published(0, 10.0)
    collector.answer(0, says("a", 0.9), 10.1)
    collector.answer(0, says("a", 0.0), 10.1)
    collector.answer(0, says("b", 0.6), 10.2)
    assert decided(collector).label == "yes"


def test_nobody_waits_for_a_node_that_left(collector):
    collector.published(0, 10.0)
    collector.published(1, 10.0)
    collector.answer(0, says("a", 0.9), 10.1)
    collector.left("b", 10.2)
    decision = decided(collector)
    assert (decision.number, decision.answered_by, decision.missing) == (0, ("a",), ())
    collector.answer(1, says("a", 0.9), 10.3)
    assert decided(collector).missing == ()
    assert (collector.counts.joined, collector.counts.left) == (2, 1)
    collector.left("b", 10.4)  # twice is once
    assert collector.counts.left == 1


def test_a_node_that_joins_is_waited_for_from_the_next_clip_on(collector):
    collector.published(0, 10.0)
    collector.joined("c")
    collector.published(1, 10.0)
    for number in (0, 1):
        for node in ("a", "b"):
            collector.answer(number, says(node, 0.9), 10.1)
    assert decided(collector).number == 0
    collector.answer(1, says("c", 0.9), 10.2)
    assert decided(collector).answered_by == ("a", "b", "c")


def test_nodes_that_do_not_announce_themselves_are_met_by_waiting():
    collector = Collector(WAIT)
    collector.published(0, 10.0)
    collector.answer(0, says("x", 0.9), 10.1)
    assert not collector.decided  # there may be others
    collector.answer(0, says("y", 0.9), 10.2)
    collector.expire(11.0)
    assert decided(collector).answered_by == ("x", "y")
    collector.published(1, 12.0)
    collector.answer(1, says("y", 0.9), 12.1)
    collector.answer(1, says("x", 0.9), 12.2)
    assert decided(collector).latency_ms == pytest.approx(200)  # now they are known
    assert collector.counts.joined == 2


def miss(collector, clips, first=0):
    for number in range(first, first + clips):
        collector.published(number, 10.0 * number)
        collector.answer(number, says("a", 0.9), 10.0 * number + 0.1)
        collector.expire(10.0 * number + 5)
    decisions = list(collector.decided)
    collector.decided.clear()
    return decisions


@pytest.mark.parametrize("announced", [True, False])
def test_a_silent_node_is_not_waited_for_until_it_speaks(announced):
    collector = Collector(WAIT)
    collector.joined("a")
    if announced:
        collector.joined("b")
    else:
        collector.published(0, 0.0)
        collector.answer(0, says("b", 0.9), 0.1)
        collector.answer(0, says("a", 0.9), 0.1)
        collector.decided.clear()
    for decision in miss(collector, SILENT_AFTER, first=1):
        assert decision.missing == ("b",)
    (decision,) = miss(collector, 1, first=10)
    assert decision.missing == ()
    assert decision.latency_ms == pytest.approx(100)
    assert collector.counts.left == (0 if announced else 1)
    collector.answer(10, says("b", 0.9), 100.9)  # after the others, but in time
    (decision,) = miss(collector, 1, first=11)
    assert decision.missing == ("b",)


@pytest.mark.parametrize("announced", [True, False])
def test_a_node_that_is_always_late_is_not_waited_for(announced):
    collector = Collector(WAIT)
    collector.joined("a")
    if announced:
        collector.joined("b")
    missing = []
    for number in range(3 * SILENT_AFTER):
        (decision,) = miss(collector, 1, first=number)
        collector.answer(number, says("b", 0.9), 10.0 * number + 6)
        missing.append(decision.missing)
    assert missing[SILENT_AFTER:] == [()] * 2 * SILENT_AFTER
    assert collector.counts.late == 3 * SILENT_AFTER


def test_ghosts_make_room_for_a_node_that_speaks():
    collector = Collector(WAIT)
    for number in range(MAX_NODES):
        collector.joined(f"ghost{number}")
    for number in range(SILENT_AFTER):
        collector.published(number, 10.0 * number)
        collector.expire(10.0 * number + 5)
    collector.published(100, 1000.0)
    collector.answer(100, says("a", 0.9), 1000.1)
    collector.published(101, 1001.0)
    collector.answer(101, says("a", 0.9), 1001.1)
    assert collector.decided[-1].answered_by == ("a",)
    assert collector.counts.unknown == 0
    assert collector.nodes == MAX_NODES


def test_other_labels_than_most(collector):
    collector.joined("c")
    collector.published(0, 10.0)
    collector.answer(0, says("c", 0.1, labels=("no", "yes", "stop")), 10.0)
    collector.answer(0, says("a", 0.9), 10.1)
    collector.answer(0, says("b", 0.9), 10.1)
    decision = decided(collector)  # it did answer, so nobody waits for it
    assert decision.scores.keys() == {"no", "yes"}
    assert (decision.answered_by, decision.missing) == (("a", "b"), ("c",))
    assert (collector.counts.used, collector.counts.other_labels) == (2, 1)


def test_the_order_of_labels_is_each_nodes_own(collector):
    collector.published(0, 10.0)
    collector.answer(0, says("a", 0.9), 10.0)
    collector.answer(0, says("b", 0.9, labels=("yes", "no")), 10.1)
    decision = decided(collector)
    assert decision.answered_by == ("a", "b")
    assert decision.scores["yes"] > 0.95


ENSEMBLE = Ensemble((Member("m", "0" * 64, 1.0), Member("n", "0" * 64, 0.1)), "weighted", LABELS)


def test_an_ensembles_labels_hold_against_any_majority():
    collector = Collector(WAIT, "sum", ENSEMBLE)
    for node in ("a", "b", "c"):
        collector.joined(node)
    collector.published(0, 10.0)
    for node in ("a", "b"):
        collector.answer(0, says(node, 0.9, labels=("yes", "maybe")), 10.0)
    collector.answer(0, says("c", 0.2, "m:1"), 10.0)
    decision = decided(collector)
    assert (decision.label, decision.answered_by) == ("no", ("c",))
    assert collector.counts.other_labels == 2


def test_all_answers_of_other_labels_are_none():
    collector = Collector(WAIT, "sum", ENSEMBLE)
    collector.joined("a")
    collector.published(0, 10.0)
    collector.answer(0, says("a", 0.9, labels=("yes", "maybe")), 10.1)
    decision = decided(collector)
    assert (decision.label, decision.missing) == (None, ("a",))
    assert decision.latency_ms == pytest.approx(100)


@pytest.mark.parametrize(("model", "label"), [("n:3", "yes"), ("stranger:1", "no")])
def test_weights_go_by_the_models_name(model, label):
    """Member n hardly counts; a stranger counts as the average of members, 0.55."""
    collector = Collector(WAIT, "weighted", ENSEMBLE)
    collector.joined("a")
    collector.joined("b")
    collector.published(0, 10.0)
    collector.answer(0, says("a", 0.8, "m:1"), 10.0)
    collector.answer(0, says("b", 0.02, model), 10.0)
    assert decided(collector).label == label
    assert collector.counts.outsiders == (model == "stranger:1")


def test_answers_to_clips_nobody_asked(collector):
    collector.answer(0, says("x", 0.9), 10.0)
    collector.published(0, 11.0)
    collector.answer(1, says("a", 0.9), 11.0)
    assert collector.counts.unknown == 2
    assert collector.nodes == 2


def test_a_flood_of_names_is_bounded(collector):
    collector.published(0, 10.0)
    for number in range(2 * MAX_NODES):
        collector.answer(0, says(f"n{number}", 0.9), 10.1)
        collector.joined(f"m{number}")
    assert collector.nodes == MAX_NODES


def test_a_lost_broker_makes_final_what_is_there(collector):
    collector.published(0, 10.0)
    collector.published(1, 10.0)
    collector.answer(0, says("a", 0.9), 10.1)
    collector.broker_lost(10.2)
    assert decided(collector).answered_by == ("a",)
    collector.expire(11.0)
    assert decided(collector).label is None
    assert collector.nodes == 0


def test_weights_come_from_an_ensemble():
    with pytest.raises(EdgeError, match="needs the weights of an --ensemble"):
        Collector(WAIT, "weighted")
