"""The line that says how far something long is, on a real terminal."""

from __future__ import annotations

import os
import pty
import sys

import pytest

from edge_client.cli.status_line import StatusLine


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
    monkeypatch.setattr("edge_client.cli.status_line._FROM_S", 0.0)


def draw(**options):
    line = StatusLine(every_s=60, **options)
    line.show(lambda: "4/10 clips")
    return line


def test_one_line_on_a_terminal_that_leaves_nothing_behind(terminal, at_once, monkeypatch):
    file, shown = terminal
    monkeypatch.setattr(sys, "stderr", file)
    line = draw()
    assert shown() == "\r4/10 clips"
    line.show(lambda: pytest.fail("asked again at once"))
    line.clear()
    assert shown() == "\r" + " " * 10 + "\r"
    line.clear()
    assert shown() == ""


def test_what_takes_no_two_seconds_draws_nothing(terminal, monkeypatch):
    file, shown = terminal
    monkeypatch.setattr(sys, "stderr", file)
    draw().clear()
    assert shown() == ""


def test_nothing_where_errors_go_to_a_file(at_once, capsys):
    draw().clear()
    assert capsys.readouterr() == ("", "")


def test_answers_on_the_terminal_may_be_progress_enough(terminal, at_once, monkeypatch):
    file, shown = terminal
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setattr(sys, "stdout", file)
    draw(among_answers=False).clear()
    assert shown() == ""
    draw().clear()
    assert "4/10 clips" in shown()
