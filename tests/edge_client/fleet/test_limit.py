"""An end for calls that never come back, which nobody else gets to feel."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

BEFORE = """
import itertools, os, signal, sys, threading, time
from edge_client.fleet.use.limit import CallLimit

def busy(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

def hang():
    sum(itertools.repeat(0))  # where no signal handler of Python's runs

limit = CallLimit(0.3)
"""


def end(program):
    """How a process ended that ran it, by its exit status."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + program], cwd=REPOSITORY, capture_output=True, timeout=60
    )
    assert done.stderr == b""
    return done.returncode


@pytest.mark.parametrize(
    "program",
    [
        "limit.start(); hang()",
        # The main thread waits, as it does while a service works.
        "def work():\n"
        "    limit.start(); hang()\n"
        "threading.Thread(target=work, daemon=True).start(); time.sleep(50)",
        # Calls before do not matter, nor whoever was let go without an end.
        "limit.start(); limit.stop(); limit.start(); limit.start(); hang()",
        # Nor another limit, once its call is over.
        "other = CallLimit(0.3); other.start(); limit.start(); other.stop(); limit.stop()\n"
        "limit.start(); other.start(); other.stop(); hang()",
    ],
)
def test_a_call_that_never_comes_back_ends_the_process(program):
    assert end(program) == -signal.SIGVTALRM


@pytest.mark.parametrize(
    "program",
    [
        "limit.start(); limit.stop(); busy(0.6)",
        "for _ in range(10):\n    limit.start(); busy(0.06); limit.stop()",
        "limit.stop(); busy(0.6)",
        "limit.start(); time.sleep(0.6); limit.stop()",
        # Who needs the signal keeps it.
        "signal.signal(signal.SIGVTALRM, signal.SIG_IGN); limit.start(); busy(0.6); limit.stop()",
        "signal.signal(signal.SIGVTALRM, lambda *_: os._exit(1)); limit.start(); busy(0.6)",
        # What a process starts while it is inside has no part in it.
        "limit.start()\nif os.fork() == 0:\n    busy(0.6); os._exit(0)\n"
        "limit.stop(); os._exit(os.waitstatus_to_exitcode(os.wait()[1]))",
    ],
)
def test_whatever_comes_back_in_time_feels_nothing(program):
    assert end(program) == 0
