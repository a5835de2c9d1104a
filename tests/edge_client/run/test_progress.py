from __future__ import annotations

import os
import pty
import sys

import pytest

from edge_client.run.progress import Progress
from edge_client.run.tally import Tally


@pytest.fixture
def terminal():
    """A terminal as a file, and what reads all that it has shown."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)

    def shown():
        try:
            return os.read(ours, 10_000).decode()
        except BlockingIOError:
            return ""

    with open(theirs, "w") as file:
        yield file, shown
    os.close(ours)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("edge_client.run.progress._FROM_S", 0.0)


def draw(total=10):
    progress, tally = Progress(total), Tally()
    tally.clips, tally.asked = 4, 2
    progress.show(tally)
    return progress


def test_one_line_on_a_terminal_that_leaves_nothing_behind(terminal, at_once, monkeypatch):
    file, shown = terminal
    monkeypatch.setattr(sys, "stderr", file)
    progress = draw()
    text = shown()
    assert text == "\r4/10 clips, 2 asked, 0 s"
    progress.show(Tally())
    assert shown() == ""  # not for every clip
    progress.clear()
    assert shown() == "\r" + " " * (len(text) - 1) + "\r"
    progress.clear()
    assert shown() == ""


def test_how_many_come_from_a_microphone_nobody_knows(terminal, at_once, monkeypatch):
    file, shown = terminal
    monkeypatch.setattr(sys, "stderr", file)
    draw(None)
    assert shown() == "\r4 clips, 2 asked, 0 s"


def test_a_short_run_draws_nothing(terminal, monkeypatch):
    file, shown = terminal
    monkeypatch.setattr(sys, "stderr", file)
    draw().clear()
    assert shown() == ""


def test_nothing_where_errors_go_to_a_file(at_once, capsys):
    draw().clear()
    assert capsys.readouterr() == ("", "")


def test_nothing_where_answers_go_to_the_terminal(terminal, at_once, monkeypatch):
    file, shown = terminal
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setattr(sys, "stdout", file)
    draw().clear()
    assert shown() == ""
