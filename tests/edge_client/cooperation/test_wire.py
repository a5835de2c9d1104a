"""Topics, messages and the queue between two threads."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.cooperation.inbox import Inbox
from edge_client.cooperation.messages import (
    MessageError,
    NotFiniteError,
    read_prediction,
    write_prediction,
)
from edge_client.cooperation.topics import ClipIds, TopicError, Topics, check_node_id, is_clip_id
from edge_client.senml import parse

NOW = 1_700_000_000.25
LABELS, SCORES = ("no", "stop", "yes"), (0.25, 0.0, 0.75)


def test_a_prediction_as_it_is_promised():
    body = write_prediction("pi-3", "kws-a:1", LABELS, SCORES, NOW)
    assert json.loads(body) == [
        {"bn": "pi-3/", "bt": NOW, "n": "no", "u": "/", "v": 0.25},
        {"n": "stop", "u": "/", "v": 0},
        {"n": "yes", "u": "/", "v": 0.75},
        {"n": "model", "vs": "kws-a:1"},
    ]
    assert parse(body).records[0].name == "pi-3/no"
    read = read_prediction(body)
    assert (read.node, read.model) == ("pi-3", "kws-a:1")
    assert read.scores == dict(zip(LABELS, SCORES, strict=True))


@pytest.mark.parametrize("base", ["raspberrypi.local", "raspberrypi.local/"])
def test_a_course_node_is_understood(base):
    """As the coursework's clients write it, whose base name ends as they like."""
    entries = [
        {"n": label, "u": "/", "t": 0, "v": score}
        for label, score in zip(LABELS, SCORES, strict=True)
    ]
    read = read_prediction(json.dumps({"bn": base, "bt": 1700000000, "e": entries}).encode())
    assert read.node == "raspberrypi.local"
    assert read.scores == dict(zip(LABELS, SCORES, strict=True))
    assert read.model == ""


def spelled(*records, base="a/"):
    return json.dumps([{"bn": base, **records[0]}, *records[1:]]).encode()


HALF = {"n": "no", "v": 0.5}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"hello", "neither JSON"),
        (b"\xff\x00", "prediction: "),
        (b"[]", "0 records"),
        (spelled(HALF, {"n": "yes", "v": 0.5}, base=""), "no node's id"),
        (spelled(HALF, {"n": "yes", "v": 0.5}, base="a"), "no node's id"),
        (spelled(HALF, {"bn": "b/", "n": "yes", "v": 0.5}), "several nodes"),
        (spelled(HALF, {"n": "no", "v": 0.5}), "or two"),
        (spelled(HALF, {"n": "yes", "vb": True}), "no probability for 'yes'"),
        (spelled(HALF, {"n": "yes", "vs": "0.5"}), "no probability for 'yes'"),
        (spelled({"n": "model", "vs": "kws-a:1"}), "no probabilities"),
        (spelled(HALF, {"n": "yes", "v": -0.1}), "no probabilities"),
        (spelled({"n": "no", "v": 12.5}, {"n": "yes", "v": 3}), "no probabilities"),
        (spelled({"n": "no", "v": 0}, {"n": "yes", "v": 0}), "no probabilities"),
        (spelled({**HALF, "x_": 1}), "must be understood"),
        (b'{"bt": 1, "e": [{"n": "no", "v": 1}]}', "no node's id"),
        (b'{"bn": "pi", "v": 1}', "no field 'e'"),
        (spelled({"n": "no", "vs": "x" * 70_000}), "65536 are taken"),
    ],
)
def test_what_is_no_prediction(body, said):
    with pytest.raises(MessageError) as caught:
        read_prediction(body)
    assert said in str(caught.value)
    assert not isinstance(caught.value, NotFiniteError)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_told_apart(value):
    with pytest.raises(NotFiniteError):
        read_prediction(f'[{{"bn":"a/","n":"no","v":{value}}}]'.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["bn", "bt", "n", "v", "vs", "vb", "vd", "e", "u", "t"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_prediction_or_one_error(body):
    try:
        read = read_prediction(body)
    except MessageError:
        return
    assert read.node
    assert all(0 <= value <= 1.5 for value in read.scores.values())


def test_topics():
    topics = Topics("home/")
    assert topics.audio("1") == "home/audio/1"
    assert topics.prediction("1") == "home/prediction/1"
    assert topics.node("pi") == "home/node/pi"
    assert topics.kind("home/audio/a/b") == ("audio", "a/b")
    assert topics.kind("home/node/pi") == ("node", "pi")
    for other in ("audio/1", "home/audio", "home/audio/", "home/other/1", "home"):
        assert topics.kind(other) == ("", "")
    course = Topics("/")
    assert (course.all_audio, course.prediction("3")) == ("/audio/#", "/prediction/3")
    assert Topics("").audio("1") == "audio/1"


@pytest.mark.parametrize("prefix", ["home", "a+/", "#/", "$SYS/", "a\n/", "é/", "x" * 200 + "/"])
def test_prefixes_that_make_no_topics(prefix):
    with pytest.raises(TopicError, match="that end in /"):
        Topics(prefix)


@pytest.mark.parametrize("node", ["", "a/b", "+", "-a", "a b", "x" * 65])
def test_ids_that_no_node_may_have(node):
    with pytest.raises(TopicError, match="node id"):
        check_node_id(node)
    assert check_node_id("pi-3.local") == "pi-3.local"


def test_ids_of_clips_are_nobody_elses():
    one, other = ClipIds(), ClipIds()
    clips = {ids.of(number) for ids in (one, other) for number in range(100)}
    assert len(clips) == 200
    assert one.number(one.of(7)) == 7
    assert other.number(one.of(7)) is None
    assert is_clip_id(one.of(7))
    for strange in ("7", one.of(7) + "0" * 20, one.of(-1), "x" + one.of(7), one.of(7) + "/1"):
        assert one.number(strange) is None
        assert not is_clip_id(strange)


def test_the_oldest_makes_room():
    inbox = Inbox(3)
    for number in range(5):
        inbox.put(number)
    assert [inbox.get(0) for _ in range(4)] == [2, 3, 4, None]
    assert inbox.dropped == 2


def test_large_ones_make_room_sooner():
    inbox = Inbox(10, most_bytes=100)
    for number in range(6):
        inbox.put(number, size=30)
    assert [inbox.get(0) for _ in range(4)] == [3, 4, 5, None]
    inbox.put("again", size=90)
    assert (inbox.get(0), inbox.dropped) == ("again", 3)


def test_who_waits_is_woken():
    inbox = Inbox(1)
    got = []
    waiting = threading.Thread(target=lambda: got.append(inbox.get(30)))
    waiting.start()
    inbox.put("here")
    waiting.join(10)
    assert got == ["here"]
