"""The loop with a network whose answers come when the test says so."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_client.big.client import MisfitError
from edge_client.bundle import read_bundle
from edge_client.errors import EdgeError
from edge_client.predictor import AudioPredictor
from edge_client.run.asker import Asker
from edge_client.run.clip import Clip
from edge_client.run.decision import Decision
from edge_client.run.loop import Loop, Setup
from tests.edge_client import tiny

ALWAYS = Decision("always", 0.0, None)


class Big:
    """Says to everything what it was told to, once it may."""

    def __init__(self, answer):
        self.answer, self.go = answer, threading.Event()

    def ask(self, question):
        assert self.go.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def start(keyword_bundle):
    """Runs clips against a client; the loop's answers are in the list."""
    first = AudioPredictor(read_bundle(keyword_bundle))
    askers = []

    def run(clips, client, answers):
        asker = Asker(client, threads=2, timeout=20.0)
        askers.append(asker)
        loop = Loop(Setup(first, ALWAYS, asker=asker), answers.append, print, threading.Event())
        loop(clips)

    yield run
    for asker in askers:
        asker.close()


def clip(path, audio=tiny.EXAMPLES["low"], rate=16000):
    return Clip(path, audio, rate, None, None)


def test_a_fault_ends_the_run_once_all_that_was_heard_is_answered(start, capsys):
    client, answers = Big(MisfitError("other words")), []

    def clips():
        for number in range(5):
            yield clip(str(number))
        client.go.set()
        while True:
            yield None

    with pytest.raises(MisfitError, match="other words"):
        start(clips(), client, answers)
    assert sorted(answer.clip.path for answer in answers) == list("01234")
    assert {answer.decided_by for answer in answers} == {"little_unreachable"}
    assert "other words" not in capsys.readouterr().out  # whoever catches it tells it


def test_a_fault_while_the_queue_is_full(start):
    """The clip that waits for room is answered as well."""
    client, answers, heard = Big(MisfitError("other words")), [], []

    def clips():
        for number in range(100):
            heard.append(str(number))
            if number == 2 * 4 + 2:  # the queue, and who asks
                threading.Timer(0.1, client.go.set).start()
            yield clip(str(number))

    with pytest.raises(MisfitError):
        start(clips(), client, answers)
    assert sorted(answer.clip.path for answer in answers) == sorted(heard)


def test_sound_that_ends_in_an_error_loses_no_answer(start):
    client, answers = Big(np.array([1.0, 0.0, 0.0])), []

    def clips():
        yield clip("0")
        raise EdgeError("unplugged")

    with pytest.raises(EdgeError, match="unplugged"):
        start(clips(), client, answers)
    assert [answer.decided_by for answer in answers] == ["little_unreachable"]


def test_of_long_recordings_only_the_clip_waits(start):
    client, answers = Big(np.array([1.0, 0.0, 0.0])), []
    client.go.set()
    long = np.tile(tiny.EXAMPLES["low"], 60)[:, None].repeat(2, axis=1)
    start([clip("long", long)], client, answers)
    (answer,) = answers
    assert answer.decided_by == "big"
    assert answer.clip.audio.shape == (16000,)
    assert answer.clip.audio.base is None or answer.clip.audio.base.size <= 16000
