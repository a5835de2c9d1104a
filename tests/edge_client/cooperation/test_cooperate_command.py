"""``ml4iot-edge cooperate`` as it is typed."""

from __future__ import annotations

import json
from functools import partial

import pytest

from edge_client.cooperation.ensemble import Ensemble, Member, write_ensemble
from tests.edge_client.tiny import EXAMPLES, LABELS, wav

NOBODY = "127.0.0.1:9"


@pytest.fixture
def run(run):
    """Runs ``ml4iot-edge cooperate``."""
    return partial(run, "cooperate")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    root = tmp_path_factory.mktemp("words")
    for word, clip in EXAMPLES.items():
        (root / word).mkdir()
        (root / word / "a.wav").write_bytes(wav(clip))
    (root / "low" / "wrong.wav").write_bytes(wav(EXAMPLES["silence"]))
    return root


def test_asked_and_summed_up(run, room, words, tmp_path):
    for name in ("a", "b"):
        room.node(name)
    report = tmp_path / "report.json"
    status, out, err = run(
        *("ask", words, "--broker", room.broker, "--prefix", room.topics.prefix),
        *("--nodes", 2, "--wait", 20, "--summary", "--report", report),
    )
    assert status == 0
    lines = [json.loads(line) for line in out]
    assert [line["path"] for line in lines] == [
        str(words / name) for name in ("high/a.wav", "low/a.wav", "low/wrong.wav", "silence/a.wav")
    ]
    assert [line["label"] for line in lines] == ["high", "low", "silence", "silence"]
    for line in lines:
        assert list(line) == [
            *("path", "label", "scores", "answered_by", "missing", "latency_ms"),
        ]
        assert set(line["scores"]) == set(LABELS)
        assert line["answered_by"] == ["a", "b"]
        assert line["missing"] == []
    assert "4 clips by sum: accuracy 75.00 % (3 of 4, 95 % interval 30.06 to 95.44 %)" in err[-3]
    assert "8 used; nodes: 2 joined, 0 left" in err[-1]
    written = json.loads(report.read_text())
    assert written["accuracy"] == 75.0
    assert written["interval"] == pytest.approx([30.06, 95.44], abs=0.01)
    assert (written["clips"], written["unanswered"], written["messages"]["used"]) == (4, 0, 8)
    assert written["clips_per_second"] > 0
    assert set(written["latency_ms"]) == {"p50", "p95", "p99"}
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_the_ensemble_decides(run, room, words, tmp_path):
    room.node("a")
    path = tmp_path / "cooperation.json"
    write_ensemble(path, Ensemble((Member("tones", "0" * 64, 2.0),), "weighted", LABELS))
    where = ("--broker", room.broker, "--prefix", room.topics.prefix, "--wait", 20)
    status, out, err = run("ask", words / "high", *where, "--ensemble", path, "--summary")
    assert (status, json.loads(out[0])["label"]) == (0, "high")
    assert "1 clips by weighted" in err[0]
    status, _, err = run(
        "ask", words / "high", *where, "--ensemble", path, "--combine", "vote", "--summary"
    )
    assert status == 0
    assert "1 clips by vote" in err[0]
    write_ensemble(path, Ensemble((Member("other", "0" * 64),), "sum", ("yes", "no")))
    status, out, err = run("ask", words / "high", *where, "--ensemble", path, "--summary")
    assert status == 0
    line = json.loads(out[0])
    assert (line["label"], line["scores"], line["missing"]) == (None, {}, ["a"])
    assert "1 without an answer" in err[0]
    assert "1 of other labels" in err[2]


def test_nobody_there_is_said(run, room, words):
    status, out, err = run(
        *("ask", words / "high", words / "low", "--broker", room.broker),
        *("--prefix", room.topics.prefix, "--nodes", 0, "--wait", 0.1, "--summary"),
    )
    assert status == 0
    assert [json.loads(line)["label"] for line in out] == [None] * 3
    assert "nobody answered" in err[0]
    assert "3 without an answer" in err[0]
    assert "latency ms: none" in err[1]


def test_a_total_outage_of_an_ensemble_is_no_accuracy_at_all(run, room, words, tmp_path):
    path, report = tmp_path / "ensemble.json", tmp_path / "report.json"
    write_ensemble(path, Ensemble((Member("tones", "0" * 64),), "sum", ("high", "low")))
    status, _, err = run(
        *("ask", words / "high", "--broker", room.broker, "--prefix", room.topics.prefix),
        *("--nodes", 0, "--wait", 0.1, "--ensemble", path, "--summary", "--report", report),
    )
    assert status == 0
    assert "accuracy 0.00 % (0 of " in err[0]
    values = json.loads(report.read_text())
    assert (values["accuracy"], values["latency_ms"]) == (0, {})


def test_a_bad_recording_costs_a_line(run, room, words, tmp_path):
    room.node("a")
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    status, out, err = run(
        *("ask", tmp_path / "bad.wav", tmp_path / "none.wav", words / "high"),
        *("--broker", room.broker, "--prefix", room.topics.prefix, "--wait", 20),
    )
    assert status == 2
    assert [json.loads(line)["label"] for line in out] == ["high"]
    assert len(err) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ask", "x.wav"), "the following arguments are required: --broker"),
        (("ask", "--broker", NOBODY), "no INPUT"),
        (("ask", "x.wav", "--broker", NOBODY), f"no broker at {NOBODY} (Connection refused)"),
        (("ask", "x.wav", "--broker", "mqtt://a"), "HOST or HOST:PORT is wanted"),
        (("ask", "x.wav", "--broker", "a.invalid"), "no broker at a.invalid:1883"),
        (("ask", "x.wav", "--broker", "a" * 70), "no name that a host can have"),
        (("ask", "x.wav", "--broker", NOBODY, "--prefix", "a"), "that end in /"),
        (("ask", "x.wav", "--broker", NOBODY, "--combine", "best"), "invalid choice"),
        (("ask", "x.wav", "--broker", NOBODY, "--combine", "weighted"), "needs the weights"),
        (("ask", "x.wav", "--broker", NOBODY, "--ensemble", "no.json"), "no.json: no such file"),
        (("ask", "x.wav", "--broker", NOBODY, "--wait", "0"), "no number of seconds"),
        (("ask", "x.wav", "--broker", NOBODY, "--wait", "nan"), "no number of seconds"),
        (("ask", "x.wav", "--broker", NOBODY, "--in-flight", "0"), "no whole number"),
        (("ask", "x.wav", "--broker", NOBODY, "--payload", "features-cbor"), "one of pcm-json"),
        (("ask", "x.wav", "--broker", NOBODY, "--other"), "unrecognized arguments: --other"),
        (("node", "no.bundle", "--broker", NOBODY), "no.bundle: no such file"),
        (("other",), "invalid choice: 'other'"),
        ((), "the following arguments are required: ROLE"),
    ],
)
def test_wrong_use_costs_one_line(run, arguments, said):
    status, out, err = run(*arguments)
    assert status == 2
    assert out == []
    assert len(err) == 1
    assert said in err[0]


def test_what_a_node_cannot_start_with(run, keyword_bundle, forecast_bundle):
    for bundle, more, said in (
        (keyword_bundle, (), f"no broker at {NOBODY}"),
        (keyword_bundle, ("--id", "a/b"), "node id 'a/b'"),
        (forecast_bundle, (), "takes no recordings"),
    ):
        status, out, err = run("node", bundle, "--broker", NOBODY, *more)
        assert (status, out, len(err)) == (2, [], 1)
        assert said in err[0]


def test_a_broker_that_stays_away_ends_the_questions(mosquitto, keyword_bundle, monkeypatch):
    from edge_client.cooperation import publisher
    from edge_client.mqtt.broker import BrokerError, open_broker
    from serving.broker import start_broker
    from tests.edge_client.cooperation.room import Room, recordings

    monkeypatch.setattr(publisher, "PATIENCE_S", 0.5)
    context = start_broker(backend="mosquitto")
    broker = context.__enter__()
    with Room(open_broker(broker.address), "ml4iot/", keyword_bundle) as room:
        room.node("a")
        answers = room.publisher(room.collector(wait=0.2)).ask(recordings(1000))
        assert next(answers).label == "high"
        context.__exit__(None, None, None)
        with pytest.raises(BrokerError, match=r"gone for 0\.5 s; start it again"):
            list(answers)
