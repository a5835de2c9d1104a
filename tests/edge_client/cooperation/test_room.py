"""Nodes and publishers on a real Mosquitto, and what goes wrong there."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edge_client.audio import to_float
from edge_client.cooperation.messages import read_prediction, write_prediction
from edge_client.mqtt.broker import open_broker
from edge_client.payload import Recording, encode_recording
from edge_client.senml import Form, Record, write
from serving.broker import start_broker
from tests.edge_client.cooperation.proxy import DroppingProxy
from tests.edge_client.cooperation.room import CLIPS, LABELS, LIMIT_S, Room, expected, recordings
from tests.edge_client.tiny import tone
from tests.edge_client.waiting import eventually


def labels(decisions):
    return [decision.label for decision in decisions]


def test_together_they_hear_what_each_hears(room):
    nodes = [room.node(name) for name in ("a", "b", "c")]
    decisions, counts = room.ask(30, nodes=3)
    assert labels(decisions) == expected(30)
    assert {decision.answered_by for decision in decisions} == {("a", "b", "c")}
    assert {decision.missing for decision in decisions} == {()}
    assert (counts.used, counts.joined, counts.left) == (90, 3, 0)
    eventually(lambda: [node.counts.answered for node in nodes] == [30] * 3)


def test_the_embedded_broker_does_as_well(keyword_bundle):
    with (
        start_broker(backend="embedded") as broker,
        Room(open_broker(broker.address), "ml4iot/", keyword_bundle) as room,
    ):
        watching = room.stranger().listen(room.topics.all_nodes)
        room.node("a")
        leaving = room.node("b")
        decisions, counts = room.ask(20, nodes=2)
        assert labels(decisions) == expected(20)
        assert counts.used == 40
        leaving.stop()
        eventually(lambda: (room.topics.node("b"), b"") in watching.heard)
        decisions, counts = room.ask(10)
        assert {decision.answered_by for decision in decisions} == {("a",)}


def test_the_broker_is_restarted_in_the_middle(mosquitto, keyword_bundle):
    first = start_broker(backend="mosquitto")
    broker = first.__enter__()
    with Room(open_broker(broker.address), "ml4iot/", keyword_bundle) as room:
        nodes = [room.node(name) for name in ("a", "b")]
        collector = room.collector(wait=1.0)
        decisions = []
        answers = room.publisher(collector, nodes=2).ask(recordings(60))
        decisions += [next(answers) for _ in range(20)]
        first.__exit__(None, None, None)
        with start_broker(broker.port, backend="mosquitto"):
            decisions += answers
            assert len(decisions) == 60
            assert {decision.answered_by for decision in decisions[-30:]} == {("a", "b")}
            lost = sum(decision.label is None for decision in decisions)
            assert lost <= 8  # what was in flight, and at most as much again
            assert collector.counts.left == 2
            assert collector.counts.joined == 4
            for node in nodes:
                assert node.counts.answered >= 60 - lost - 8


def test_one_message_in_twenty_is_lost(room):
    with DroppingProxy(room.broker, share=0.05) as proxy:
        node = room.node("n", broker=proxy.broker)
        decisions, counts = room.ask(100, wait=1.0, in_flight=32)
        node.stop()  # while it has a broker to take leave of
    answered = [decision for decision in decisions if decision.answered_by]
    assert 70 <= len(answered) < 100
    assert counts.used == len(answered)
    assert proxy.dropped >= 100 - len(answered) - counts.late
    for decision in decisions:
        assert (decision.label is None) == (not decision.answered_by)
        assert {*decision.answered_by, *decision.missing} == {"n"}


def test_of_three_who_lose_messages_one_is_always_there(room):
    with (
        DroppingProxy(room.broker, 0.05, seed=1) as one,
        DroppingProxy(room.broker, 0.05, seed=2) as two,
        DroppingProxy(room.broker, 0.05, seed=3) as three,
    ):
        nodes = [
            room.node(f"n{index}", broker=proxy.broker)
            for index, proxy in enumerate((one, two, three))
        ]
        decisions, counts = room.ask(150, nodes=3, wait=1.0, in_flight=32)
        for node in nodes:
            node.stop()
    assert any(decision.missing for decision in decisions)
    assert 300 < counts.used < 450
    heard = [decision for decision in decisions if decision.label is not None]
    assert len(heard) >= 148
    assert all(decision.label == expected(150)[decision.number] for decision in heard)


def test_a_killed_node_is_not_waited_for(room):
    room.node("stays")
    process = room.command("node", room.bundle, "--id", "dies")
    assert "node dies answers" in process.stderr.readline()
    collector = room.collector(wait=20.0)
    answers = room.publisher(collector, nodes=2).ask(recordings(60))
    decisions = [next(answers) for _ in range(10)]
    process.kill()
    decisions += answers
    assert labels(decisions) == expected(60)
    assert {decision.answered_by for decision in decisions[:10]} == {("dies", "stays")}
    assert {decision.answered_by for decision in decisions[-40:]} == {("stays",)}
    # Had its time to answer run out, it would be missing.
    assert {decision.missing for decision in decisions} == {()}
    assert collector.counts.left == 1


@pytest.mark.parametrize("payload", ["pcm-cbor", "pcm-draft", "flac-json", "flac-cbor"])
def test_every_way_to_send_a_clip_is_heard(room, payload):
    room.node("a")
    decisions, _ = room.ask(6, payload=payload)
    assert labels(decisions) == expected(6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_told_to_leave_takes_leave(room, number):
    watching = room.stranger().listen(room.topics.all_nodes)
    process = room.command("node", room.bundle, "--id", "guest")
    assert "node guest answers" in process.stderr.readline()
    topic = room.topics.node("guest")
    eventually(lambda: any(heard[0] == topic and heard[1] for heard in watching.heard))
    assert len(room.ask(3)[0]) == 3
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert out == ""
    assert err == (
        "ml4iot-edge: node guest leaves: 3 clips answered, 0 malformed, 0 too large, 0 dropped "
        "in the queue, 0 answers without a broker\n"
    )
    eventually(lambda: watching.heard[-1] == (topic, b""))


def test_nodes_join_and_leave_meanwhile(room):
    room.node("first")
    collector = room.collector()
    decisions = []
    guest = None
    for decision in room.publisher(collector, in_flight=1).ask(recordings(60)):
        decisions.append(decision)
        if decision.number == 19:
            guest = room.node("guest")
        elif decision.number == 39:
            guest.stop()
    assert labels(decisions) == expected(60)
    assert {decision.answered_by for decision in decisions[:20]} == {("first",)}
    assert {decision.answered_by for decision in decisions[25:40]} == {("first", "guest")}
    assert {decision.answered_by for decision in decisions[-15:]} == {("first",)}
    assert (collector.counts.joined, collector.counts.left) == (2, 1)


def test_two_publishers_at_once_keep_their_answers_apart(room):
    for name in ("a", "b"):
        room.node(name)
    results = {}
    order = [list(range(60)), list(range(59, -1, -1))]

    def ask(which):
        collector = room.collector()
        clips = (Recording(CLIPS[index % 3]) for index in order[which])
        answers = room.publisher(collector, nodes=2).ask(clips)
        results[which] = (list(answers), collector.counts)

    threads = [threading.Thread(target=ask, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    for which in (0, 1):
        decisions, counts = results[which]
        assert labels(decisions) == [LABELS[index % 3] for index in order[which]]
        assert (counts.used, counts.unknown, counts.late, counts.duplicate) == (120, 0, 0, 0)
    assert sum(counts.foreign for _, counts in results.values()) > 0


def answer_of(room, node, topic, wanted=LABELS, best=0):
    """A course node's answer to the clip of this topic."""
    clip = topic.rsplit("/", 1)[1]
    scores = [1.0 if index == best else 0.0 for index in range(len(wanted))]
    body = write_prediction(node, "odd:1", wanted, scores, 1_700_000_000.0)
    return room.topics.prediction(clip), body


def test_answers_nobody_could_use_are_counted_and_change_nothing(room):
    for name in ("good", "too"):
        room.node(name)

    def odd(topic, payload):
        prediction, body = answer_of(room, "odd", topic, (*LABELS, "more"), 3)
        clip = prediction.rsplit("/", 1)[1]
        return [
            (prediction, body),  # of another number of classes
            (prediction, body),  # again
            (prediction, b"not SenML"),
            (prediction, b'[{"bn":"nan/","n":"high","v":NaN}]'),
            (room.topics.prediction("another"), body),
            (room.topics.prediction("junk"), b"not read at all"),
            (room.topics.prediction(clip + "9999999"), body),
            (room.topics.prediction("0" * 16 + "-1"), body),
            (prediction, b"x" * 100_000),
        ]

    room.stranger().listen(room.topics.all_audio, odd)
    collector = room.collector(wait=0.5)
    publisher = room.publisher(collector, nodes=2, in_flight=1)
    decisions = list(publisher.ask(recordings(9)))
    assert labels(decisions) == expected(9)
    assert {decision.answered_by for decision in decisions} == {("good", "too")}
    counts = collector.counts
    assert counts.used == 18
    assert counts.other_labels + counts.late >= 8
    assert counts.other_labels >= 1
    assert counts.duplicate >= 8
    assert 8 <= counts.malformed <= 9
    assert counts.not_finite >= 8
    assert counts.unknown >= 24
    assert counts.foreign >= 8
    assert publisher.lost >= 8


def test_late_answers_are_counted(room):
    room.node("quick")
    stranger = room.stranger()
    slow = []
    stranger.listen(room.topics.all_audio, lambda topic, _: slow.append(topic) or ())
    collector = room.collector()

    def clips_until_one_is_late():
        # Whoever has asked its last clip listens no more.
        deadline = time.monotonic() + LIMIT_S
        yield from recordings(3)
        while not collector.counts.late and time.monotonic() < deadline:
            yield from recordings(1)
            time.sleep(0.01)

    answers = room.publisher(collector).ask(clips_until_one_is_late())
    decisions = [next(answers) for _ in range(3)]
    eventually(lambda: len(slow) >= 3)
    for topic in slow[:3]:
        stranger.say(*answer_of(room, "slow", topic, best=1))
    decisions += answers
    assert labels(decisions[:3]) == expected(3)
    assert collector.counts.late >= 1


def test_course_clients_and_course_nodes(mosquitto_broker, keyword_bundle):
    """Draft-form SenML on /audio/<id> and /prediction/<id>, and nobody announced."""
    with Room(open_broker(mosquitto_broker.address), "/", keyword_bundle) as room:

        def answer(topic, payload):
            assert set(json.loads(payload)["e"][0]) >= {"n", "vd"}
            entries = [{"n": label, "u": "/", "t": 0, "v": 1 / 3} for label in LABELS]
            entries[1]["v"] = 0.4
            pack = {"bn": "raspberrypi", "bt": 1_700_000_000, "e": entries}
            return [("/prediction/" + topic.split("/")[-1], json.dumps(pack))]

        node = room.node("ours")
        course = room.stranger().listen("/prediction/#")
        pcm = encode_recording(Recording(CLIPS[0], source="pi"), "pcm-draft")
        assert set(json.loads(pcm)) == {"bn", "e"}
        course.say("/audio/0", pcm)
        eventually(lambda: course.heard)
        topic, body = course.heard[0]
        assert topic == "/prediction/0"
        said = json.loads(body)  # in the form of the question
        assert (said["bn"], [entry["n"] for entry in said["e"]]) == ("ours/", list(LABELS))
        assert max(said["e"], key=lambda entry: entry["v"])["n"] == "high"
        node.stop()

        room.stranger().listen("/audio/#", answer)
        decisions, counts = room.ask(6, nodes=0, wait=0.5, payload="pcm-draft")
        assert labels(decisions) == [LABELS[1]] * 6
        assert {decision.answered_by for decision in decisions} == {("raspberrypi",)}
        assert (counts.joined, counts.used) == (1, 6)


def test_audio_that_nobody_could_answer_is_counted_and_the_node_lives(room):
    node = room.node("tough")
    stranger = room.stranger().listen(room.topics.all_predictions)

    def say(body, clip="1", **options):
        stranger.say(room.topics.audio(clip), body, **options)

    def pcm(data, unit=""):
        return write([Record("audio", 0.0, unit, data)], Form.JSON)

    floats = to_float(CLIPS[0]).copy()
    floats[7] = np.nan
    hostile = [
        b"",
        b"not SenML",
        pcm(b""),
        pcm(b"odd", "int16"),
        pcm(floats.astype("<f4").tobytes(), "float32"),
        pcm(b"\0\0", "int16").replace(b"AAA", b"A!A"),
        pcm(b"\0\0", "int16").replace(b'"n"', b'"x_":1,"n"'),
        b'[{"n":"audio","vd":"AAAA","v":1}]',
        b'[{"n":"temperature","v":21}]',
        encode_recording(Recording(CLIPS[0]), "pcm-json").replace(b"audio", b"video"),
    ]
    for body in hostile:
        say(body)
    say(pcm(CLIPS[0].tobytes()), clip="x" * 300)
    say(b"x" * 10_000_000)
    say(pcm(CLIPS[0].tobytes()), clip="kept", retain=True)
    high = tone(3000, 48000, 0.7)
    say(encode_recording(replace(Recording(high), rate=48000), "pcm-json"), clip="wrong-rate")
    for payload in ("pcm-cbor", "flac-json"):
        say(encode_recording(Recording(CLIPS[1]), payload), clip=payload)
    eventually(lambda: len(stranger.heard) >= 4)
    heard = {topic: read_prediction(body).scores for topic, body in stranger.heard}
    best = {topic: max(scores, key=scores.get) for topic, scores in heard.items()}
    assert best == {
        room.topics.prediction("kept"): "high",
        room.topics.prediction("wrong-rate"): "high",
        room.topics.prediction("pcm-cbor"): "low",
        room.topics.prediction("flac-json"): "low",
    }
    assert node.counts.malformed == len(hostile) + 1
    assert node.counts.too_large == 1
    eventually(lambda: node.counts.answered == 4)
    for error in node.refused:
        assert str(error).startswith("clip ")
        assert "\n" not in str(error)

    # Retained: a node that joins later is not asked what was asked long ago.
    late = room.node("late")
    assert len(room.ask(3, nodes=2)[0]) == 3
    eventually(lambda: late.counts.answered == 3)
    stranger.say(room.topics.audio("kept"), b"", retain=True)


def test_a_node_that_cannot_keep_up_drops_the_oldest(room):
    node = room.node("slow", queue=2)
    stranger = room.stranger().listen(room.topics.all_predictions)
    gate, busy = threading.Event(), threading.Event()
    predict = node.node._predictor

    def slow(audio, rate):
        busy.set()
        assert gate.wait(LIMIT_S)
        return predict(audio, rate)

    slow.input, slow.labels = predict.input, predict.labels
    node.node._predictor = slow
    body = encode_recording(Recording(CLIPS[0]), "pcm-json")
    for clip in range(10):
        stranger.say(room.topics.audio(str(clip)), body)
        assert busy.wait(LIMIT_S)
    eventually(lambda: node.counts.dropped == 7)
    gate.set()
    eventually(lambda: len(stranger.heard) == 3)
    answered = [topic.rsplit("/", 1)[1] for topic, _ in stranger.heard]
    assert answered == ["0", "8", "9"]


def test_random_order_is_put_right(room):
    """Two nodes that lose different clips make decisions out of order; they are told in order."""
    generator = random.Random(0)
    room.stranger().listen(
        room.topics.all_audio,
        lambda topic, _: [answer_of(room, "moody", topic)] * (generator.random() < 0.7),
    )
    decisions, counts = room.ask(40, nodes=0, wait=0.2)
    assert len({decision.latency_ms > 150 for decision in decisions}) == 2
    assert counts.used == sum(decision.label is not None for decision in decisions)
