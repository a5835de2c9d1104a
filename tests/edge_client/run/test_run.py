"""``ml4iot-edge run`` as it is typed, against real servers on localhost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_client.__main__ import main
from edge_client.audio import read_wav
from edge_client.bundle import FastMode, read_bundle, write_bundle
from edge_client.deferral.fusion import fused
from edge_client.payload import decode
from edge_client.predictor import AudioPredictor
from edge_client.senml import parse
from tests.edge_client import tiny
from tests.edge_client.big.stub import StubBig, closed_port, description

REPOSITORY = Path(__file__).resolve().parents[3]
TORN = (tiny.EXAMPLES["high"] // 2 + tiny.EXAMPLES["low"] // 2).astype(np.int16)


@pytest.fixture
def big():
    with StubBig() as stub:
        yield stub


@pytest.fixture
def run(run):
    """Runs ``ml4iot-edge run``: exit status, answers, lines of stderr."""

    def call(*arguments):
        status, out, err = run("run", *arguments)
        return status, [json.loads(line) for line in out], err

    return call


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Three clear clips in their folders, and one between high and low in that of high."""
    root = tmp_path_factory.mktemp("words")
    for word, clip in tiny.EXAMPLES.items():
        (root / word).mkdir()
        (root / word / "ann_nohash_0.wav").write_bytes(tiny.wav(clip))
    (root / "high" / "bob_nohash_0.wav").write_bytes(tiny.wav(TORN))
    return root


@pytest.fixture(scope="module")
def little(keyword_bundle):
    return AudioPredictor(read_bundle(keyword_bundle))


@pytest.fixture(scope="module")
def bare_bundle(keyword_parts, tmp_path_factory):
    """Without deferral and fast mode."""
    manifest, packed = keyword_parts
    path = tmp_path_factory.mktemp("bare") / "bare.bundle"
    write_bundle(path, replace(manifest, deferral=None, fast=None), packed)
    return path


def by(answers):
    return [answer["decided_by"] for answer in answers]


def test_clear_clips_stay_here_and_the_doubtful_one_is_asked_about(
    run, big, words, keyword_bundle, little, tmp_path
):
    clear = [doubt(little(clip, 16000)) for clip in tiny.EXAMPLES.values()]
    threshold = (max(clear) + doubt(little(TORN, 16000))) / 2
    report = tmp_path / "report.json"
    status, answers, err = run(
        *(keyword_bundle, words, "--big", big.url, "--threshold", threshold),
        *("--summary", "--report", report),
    )
    assert status == 0
    assert sorted(by(answers)) == ["big", "little", "little", "little"]
    assert len(big.questions) == 1
    for answer in answers:
        wanted = ["path", "label", "scores", "margin", "latency_ms", "decided_by"]
        assert list(answer) == wanted
        steps = ["features", "inference", "total"]
        asked = answer["decided_by"] == "big"
        assert list(answer["latency_ms"]) == steps + (["queued", "big"] if asked else [])
        assert answer["path"].endswith("bob_nohash_0.wav") is asked
        scores = list(answer["scores"].values())
        assert answer["scores"][answer["label"]] == max(scores)
        if asked:
            weight = tiny.DEFERRAL.fusion
            both = fused(little(TORN, 16000).scores, np.array([0.9, 0.06, 0.04]), weight)
            np.testing.assert_allclose(scores, both, atol=1e-6)
    values = json.loads(report.read_text())
    assert (values["clips"], values["doubtful"], values["asked"]) == (4, 1, 1)
    assert values["decided_by"] == {"little": 3, "big": 1}
    assert (values["accuracy"]["right"], values["accuracy"]["known"]) == (4, 4)
    size = len(big.questions[0][2])
    assert (values["requests"], values["bytes"]) == (1, size)
    assert values["megabytes"] == pytest.approx(size / 2**20, abs=1e-6)
    assert values["policy"] == {"name": "margin", "threshold": threshold}
    assert values["payload"] == "features-cbor"
    for kind in ("kept", "asked"):
        latency = values["latency_ms"][kind]
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert values["cpu_seconds"] > 0
    table = "\n".join(err)
    for wanted in ("100.00 % (4 of 4", "little alone", "asked 1 (25.00 %)", f"{size} bytes"):
        assert wanted in table


def doubt(heard):
    return 1 - heard.margin


def test_always_and_what_the_system_gains_over_little(run, big, words, keyword_bundle, tmp_path):
    report = tmp_path / "report.json"
    big.answer = {"high": 0.001, "low": 0.998, "silence": 0.001}
    status, answers, _ = run(
        *(keyword_bundle, words, "--big", big.url, "--policy", "always", "--report", report),
        *("--payload", "pcm-json", "--concurrency", 1),
    )
    assert (status, by(answers)) == (0, ["big"] * 4)
    values = json.loads(report.read_text())
    labels = [answer["label"] for answer in answers]
    assert values["accuracy"]["right"] == sum(
        f"/{answer['label']}/" in answer["path"] for answer in answers
    )
    assert values["accuracy_first_model"]["right"] >= 3
    assert labels.count("low") >= 2
    for _, _, body in big.questions:
        assert decode(parse(body)).audio.shape == (16000,)


def test_never_needs_no_big(run, words, keyword_bundle, tmp_path):
    report = tmp_path / "report.json"
    status, answers, err = run(
        keyword_bundle, words, "--policy", "never", "--report", report, "--summary"
    )
    assert (status, by(answers)) == (0, ["little"] * 4)
    assert "requests" not in json.loads(report.read_text())
    assert "requests" not in "\n".join(err)


def test_predict_and_run_say_the_same(run, capfd, words, keyword_bundle):
    _, answers, _ = run(keyword_bundle, words, "--policy", "never")
    main(["predict", str(keyword_bundle), str(words)])
    predicted = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    same = ("path", "label", "scores", "margin")
    assert [[a[n] for n in same] for a in answers] == [[p[n] for n in same] for p in predicted]


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("hang", "no answer"),
        ("garbage", "nonsense"),
        ("500", "status 500"),
        ("cut", "no answer"),
        ("huge", "no answer"),
        ("nan", "nonsense"),
        ("a class more", "nonsense"),
    ],
)
def test_whatever_big_does_each_clip_gets_an_answer(
    run, big, words, keyword_bundle, tmp_path, how, failure
):
    report = tmp_path / "report.json"
    big.always = how
    status, answers, err = run(
        *(keyword_bundle, words, words, "--big", big.url, "--policy", "always"),
        *("--timeout", 0.5 if how == "hang" else 10, "--report", report, "--concurrency", 2),
    )
    assert status == 0
    assert by(answers) == ["little_unreachable"] * 8
    values = json.loads(report.read_text())
    assert failure in values["failures"]
    assert values["requests"] == len(big.questions)
    assert values["bytes"] == sum(len(body) for _, _, body in big.questions)
    assert values["breaker_openings"] == 1
    assert len(big.questions) <= 5 + 1  # five in a row, and one more thread was on its way
    assert all("the answers of little stand" in line for line in err)


def test_big_dead(run, words, keyword_bundle, tmp_path):
    report = tmp_path / "report.json"
    status, answers, err = run(
        *(keyword_bundle, words, words, "--big", closed_port(), "--policy", "always"),
        *("--report", report, "--summary", "--concurrency", 1),
    )
    assert (status, by(answers)) == (0, ["little_unreachable"] * 8)
    values = json.loads(report.read_text())
    assert (values["requests"], values["bytes"]) == (0, 0)
    assert values["failures"] == {"no connection": 5}
    assert values["asked"] < values["doubtful"] == 8  # once it is open nobody is asked
    assert "Connection refused" in err[0]


def test_big_too_busy(run, big, words, keyword_bundle):
    big.always = "429 60"
    status, answers, err = run(
        keyword_bundle, words, "--big", big.url, "--policy", "always", "--concurrency", 1
    )
    assert (status, by(answers), len(err)) == (0, ["little_busy"] * 4, 2)
    assert len(big.questions) == 1


def test_the_budget_is_kept_second_tries_included(run, big, words, keyword_bundle, tmp_path):
    report = tmp_path / "report.json"
    big.script.append("503")
    status, answers, _ = run(
        *(keyword_bundle, words, words, "--big", big.url, "--policy", "always"),
        *("--requests-per-hour", 3, "--concurrency", 1, "--report", report),
    )
    assert status == 0
    assert sorted(by(answers)) == ["big"] * 2 + ["little_budget"] * 6
    assert len(big.questions) == 3
    values = json.loads(report.read_text())
    assert (values["requests"], values["retries"]) == (3, 1)
    assert values["refused_by_budget"] == 6
    assert values["asked"] == 2


def test_bytes_per_hour(run, big, words, keyword_bundle, tmp_path):
    report = tmp_path / "report.json"
    limit = 70_000
    _, answers, _ = run(
        *(keyword_bundle, words, "--big", big.url, "--policy", "always"),
        *("--payload", "pcm-cbor", "--bytes-per-hour", limit, "--report", report),
    )
    assert sorted(by(answers)) == ["big"] * 2 + ["little_budget"] * 2
    sent = sum(len(body) for _, _, body in big.questions)
    assert json.loads(report.read_text())["bytes"] == sent <= limit


def test_a_big_of_other_words_ends_the_run_in_one_line(run, big, words, keyword_bundle):
    big.description = description(labels=("cat", "dog", "bird"))
    status, _, err = run(keyword_bundle, words, "--big", big.url, "--policy", "always")
    assert (status, len(err)) == (2, 1)
    assert "other labels" in err[0]


def test_a_token_from_a_file(run, big, words, keyword_bundle, tmp_path):
    (tmp_path / "token").write_text("abc.123\n")
    run(
        *(keyword_bundle, words, "--big", big.url, "--policy", "always"),
        *("--token-file", tmp_path / "token"),
    )
    assert {headers["Authorization"] for _, headers, _ in big.questions} == {"Bearer abc.123"}


def test_overruled_clips_are_kept_where_asked_for(run, big, words, keyword_bundle, tmp_path):
    folder = tmp_path / "kept"
    big.answer = {"high": 0.0, "low": 1.0, "silence": 0.0}
    _, answers, err = run(
        *(keyword_bundle, words / "silence", words / "low", "--big", big.url),
        *("--policy", "always", "--keep", folder, "--summary"),
    )
    overruled = [a for a in answers if "/silence/" in a["path"] and a["label"] == "low"]
    (kept,) = folder.rglob("*.wav")
    assert len(overruled) == 1
    assert kept.relative_to(folder).as_posix() == "low/ann_overruled_0.wav"
    audio, rate = read_wav(kept)
    np.testing.assert_array_equal(audio[:, 0], tiny.EXAMPLES["silence"])
    assert rate == 16000
    assert any("1 clips kept, 0 refused" in line for line in err)


def test_one_bad_file_costs_one_line(run, big, words, keyword_bundle, tmp_path):
    (tmp_path / "cut.wav").write_bytes(tiny.wav(TORN)[:-5])
    status, answers, err = run(
        *(keyword_bundle, tmp_path / "cut.wav", words / "none.wav", words / "low"),
        *("--big", big.url),
    )
    assert (status, len(answers), len(err)) == (2, 1, 2)


def test_a_list(run, big, words, keyword_bundle, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("./data/low/ann_nohash_0.wav\nhigh/ann_nohash_0.wav\n")
    status, answers, _ = run(
        keyword_bundle, "--list", listed, "--root", words, "--policy", "never", "--summary"
    )
    assert (status, [answer["label"] for answer in answers]) == (0, ["low", "high"])


@pytest.fixture(scope="module")
def eager_bundle(keyword_parts, tmp_path_factory):
    """Fast mode that trusts a margin of nearly 1 only."""
    manifest, packed = keyword_parts
    path = tmp_path_factory.mktemp("eager") / "eager.bundle"
    write_bundle(path, replace(manifest, fast=FastMode(tiny.FAST, 1.1)), packed)
    return path


def test_fast_slow_on_the_device(run, words, eager_bundle, little, tmp_path):
    report = tmp_path / "report.json"
    arguments = (eager_bundle, words, "--mode", "fast-slow", "--report", report, "--summary")
    status, answers, err = run(*arguments)
    assert (status, by(answers)) == (0, ["slow"] * 4)
    # Of the margin, as it is given.
    assert json.loads(report.read_text())["policy"] == {"name": "margin", "threshold": 1.1}
    clips = {"ann_nohash_0.wav": None, "bob_nohash_0.wav": TORN}
    for answer in answers:
        word, name = answer["path"].split("/")[-2:]
        clip = tiny.EXAMPLES[word] if clips[name] is None else TORN
        wanted = little(clip, 16000)
        np.testing.assert_allclose(list(answer["scores"].values()), wanted.scores, atol=1e-6)
        assert list(answer["latency_ms"]) == ["features", "inference", "total"]
    assert "fast alone" in "\n".join(err)
    # Where the margin is never below, the fast front end alone decides.
    status, answers, _ = run(*arguments, "--threshold", 0)
    assert by(answers) == ["fast"] * 4
    assert json.loads(report.read_text())["policy"] == {"name": "margin", "threshold": 0}
    fast = AudioPredictor(read_bundle(eager_bundle), features=tiny.FAST)
    for answer, word in zip(answers, ("high", "high", "low", "silence"), strict=True):
        clip = TORN if "bob" in answer["path"] else tiny.EXAMPLES[word]
        wanted = fast(clip, 16000).scores
        np.testing.assert_allclose(list(answer["scores"].values()), wanted, atol=1e-6)


def test_fast_slow_over_the_network(run, big, words, eager_bundle):
    status, answers, _ = run(eager_bundle, words, "--mode", "fast-slow", "--slow", big.url)
    assert (status, by(answers)) == (0, ["slow"] * 4)
    assert {path for path, _, _ in big.questions} == {"/slow_model"}
    for answer in answers:  # the full front end's answer, with nothing of the fast one's in it
        np.testing.assert_allclose(list(answer["scores"].values()), [0.9, 0.06, 0.04], atol=1e-6)
        assert list(answer["latency_ms"])[-2:] == ["queued", "slow"]
    big.always = "400"
    _, answers, _ = run(eager_bundle, words, "--mode", "fast-slow", "--slow", big.url)
    assert by(answers) == ["fast_unreachable"] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{bundle}",), "no INPUT"),
        (("{bundle}", "x.wav"), "no --big URL"),
        (("{bundle}", "x.wav", "--big", "nowhere"), "nowhere: no URL"),
        (("{bare}", "x.wav", "--big", "http://x"), "it carries no deferral; choose a --policy"),
        (("{bare}", "x.wav", "--big", "http://x", "--policy", "margin"), "no threshold for margin"),
        (
            ("{bare}", "x.wav", "--big", "http://x", "--policy", "learned", "--threshold", ".5"),
            "carries no deferral",
        ),
        (("{bundle}", "x.wav", "--big", "http://x", "--policy", "poetry"), "poetry"),
        (("{bundle}", "x.wav", "--big", "http://x", "--payload", "mp3-json"), "there are pcm-json"),
        (
            ("{bundle}", "x.wav", "--big", "http://x", "--timeout", "0"),
            "'0' is no finite number from",
        ),
        (("{bundle}", "x.wav", "--big", "http://x", "--timeout", "nan"), "'nan' is no finite"),
        (("{bundle}", "x.wav", "--big", "http://x", "--threshold", "inf"), "'inf' is no finite"),
        (("{bundle}", "x.wav", "--big", "http://x", "--threshold=-inf"), "'-inf' is no finite"),
        (("{bundle}", "x.wav", "--big", "http://x", "--concurrency", "0"), "no whole number"),
        (("{bundle}", "x.wav", "--big", "http://x", "--bytes-per-hour", "-5"), "no whole number"),
        (("{bundle}", "x.wav", "--big", "http://x", "--token-file", "/none"), "no such file"),
        (("{bundle}", "x.wav", "--big", "http://x", "--report", "/none/r.json"), "no such folder"),
        (("{bundle}", "x.wav", "--big", "http://x", "--slow", "http://x"), "--slow is for"),
        (("{bundle}", "x.wav", "--mode", "fast-slow", "--big", "http://x"), "leave out --big"),
        (("{bare}", "x.wav", "--mode", "fast-slow"), "no fast front end"),
        (
            (
                *("{bundle}", "x", "--mode", "fast-slow", "--slow", "http://x"),
                *("--payload", "features-cbor"),
            ),
            "/slow_model takes audio",
        ),
        (("{bundle}", "x.wav", "--microphone"), "leave out INPUT"),
        (("{bundle}", "x.wav", "--policy", "never", "--device", "1"), "--device is of the"),
        (("{bundle}", "x.wav", "--policy", "never", "--root", "/"), "there is no --list"),
        (("{forecast}", "x.wav", "--big", "http://x"), "takes no recordings"),
    ],
)
def test_wrong_use_costs_one_line_and_exit_status_2(
    run, keyword_bundle, bare_bundle, forecast_bundle, arguments, message
):
    names = {"bundle": keyword_bundle, "bare": bare_bundle, "forecast": forecast_bundle}
    status, answers, err = run(*(argument.format(**names) for argument in arguments))
    assert (status, answers, len(err)) == (2, [], 1)
    assert message in err[0]


def test_a_microphone_that_is_not_there(run, keyword_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    status, answers, err = run(keyword_bundle, "--microphone", "--policy", "never")
    assert (status, answers, len(err)) == (2, [], 1)
    assert "ml4iot-edge[microphone]" in err[0]


# Plays a tone for a second and silence for the next, again and again, as fast as it is heard.
PLAYER = """
import threading, time
import numpy as np
class PortAudioError(Exception): pass
class FINE: input_overflow = False
class RawInputStream:
    def __init__(self, samplerate, blocksize, device, channels, dtype, callback):
        if device == 7:
            raise PortAudioError("Error querying device 7")
        assert (channels, dtype) == (1, "int16")
        self.tell, self.size, self.rate, self.open = callback, blocksize, samplerate, True
    def start(self):
        threading.Thread(target=self.play, daemon=True).start()
    def play(self):
        at = 0
        while self.open:
            moment = (np.arange(self.size) + at) / self.rate
            loud = moment % 2 < 1
            sound = (loud * 16000 * np.sin(2 * np.pi * 3000 * moment)).astype(np.int16)
            self.tell(sound.tobytes(), self.size, None, FINE)
            at += self.size
            time.sleep(0.002)
    def close(self):
        self.open = False
"""


@pytest.fixture
def player(tmp_path):
    (tmp_path / "sounddevice.py").write_text(PLAYER)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}


def test_listening_until_interrupted(big, keyword_bundle, player):
    """Answers come while it listens, those of the network included; Ctrl-C is how it ends."""
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "edge_client", "run", str(keyword_bundle), "--microphone"),
            *("--big", big.url, "--policy", "always", "--summary"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=player,
    )
    answers = [json.loads(running.stdout.readline()) for _ in range(3)]
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert by(answers) == ["big"] * 3
    assert {answer["label"] for answer in answers} == {"high"}
    assert all(answer["path"].startswith("microphone/20") for answer in answers)
    assert "accuracy            unknown" in err


def test_a_sound_device_that_cannot_be_opened(keyword_bundle, player):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "edge_client", "run", str(keyword_bundle), "--microphone"),
            *("--device", "7", "--policy", "never"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env=player,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "cannot be opened at 16000 Hz (Error querying device 7)" in done.stderr


def test_an_interrupt_ends_with_the_summary(big, words, keyword_bundle, tmp_path):
    big.always = "hang"
    listed, report = tmp_path / "list.txt", tmp_path / "report.json"
    listed.write_text("low/ann_nohash_0.wav\n" * 200)
    command = [sys.executable, "-m", "edge_client", "run", keyword_bundle, "--summary"]
    running = subprocess.Popen(
        [
            *map(str, [*command, "--list", listed, "--root", words, "--big", big.url]),
            *("--policy", "always", "--timeout", "30", "--report", str(report)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(big.questions) < 4 and time.monotonic() < deadline:  # one for each thread
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    answers = [json.loads(line) for line in out.splitlines()]
    assert set(by(answers)) <= {"little_unreachable", "little_busy"}
    assert by(answers).count("little_unreachable") >= len(big.questions) == 4
    values = json.loads(report.read_text())
    assert (values["requests"], values["asked"]) == (4, 4)
    assert values["bytes"] == sum(len(body) for _, _, body in big.questions)
    assert f"{len(answers)}, doubtful {len(answers)}" in err
    assert "Traceback" not in err
