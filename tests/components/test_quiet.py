"""Chatter is held back, but nothing is lost when it matters."""

from __future__ import annotations

import subprocess
import sys

import pytest

from components.quiet import quiet

PROGRAM = """
import os, sys
from components.quiet import quiet

def chatter():
    print("from Python")
    print("warning from Python", file=sys.stderr)
    os.write(1, b"from C, to standard output\\n")
    os.write(2, b"from C, to standard error\\n")

print("before")
with quiet(*sys.argv[1:2]):
    chatter()
    if len(sys.argv) > 2:
        raise SystemExit(3)
print("after")
"""
CHATTER = [
    "from C, to standard error",
    "from C, to standard output",
    "from Python",
    "warning from Python",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_both_outputs_are_held_back_and_come_back_after() -> None:
    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafter\n", "")


def test_a_log_is_appended_to(tmp_path) -> None:
    log = tmp_path / "converter.log"
    log.write_text("earlier\n")
    done = run(str(log))
    assert (done.stdout, done.stderr) == ("before\nafter\n", "")
    first, *rest = log.read_text().splitlines()
    assert (first, sorted(rest)) == ("earlier", CHATTER)


def test_what_was_held_back_is_shown_when_it_fails(tmp_path) -> None:
    log = tmp_path / "converter.log"
    log.write_text("earlier\n")
    done = run(str(log), "fail")
    assert (done.returncode, done.stdout) == (3, "before\n")
    assert sorted(done.stderr.splitlines()) == CHATTER


def test_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="broken"), quiet():
        raise ValueError("broken")
