"""What runs in a userland ends with its time, or with whoever runs it, and leaves nothing behind.

This machine's own root folder serves as the userland, so that nothing is emulated.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge_client.waiting import eventually
from tests.pi import signed_pull
from tests.pi.process import APART, TOO_LATE, PiError, checked, run
from tests.pi.userland import Userland
from tests.processes import sleeps

HERE = Userland(Path("/"))
# In a session of its own, as servers are that tests start: no signal to a group reaches it.
RUN = ("sh", "-c", 'setsid sleep "$0" & echo begun; wait')


def may_mount() -> bool:
    try:
        return subprocess.run([*APART, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_root = pytest.mark.skipif(not may_mount(), reason="may not mount, or has no unshare")


@needs_root
def test_a_program_inside():
    done = HERE.run(["sh", "-c", 'echo "$0 $WORD $(pwd)"; exit 3', "a b"], {"WORD": "c"}, "/usr")
    assert (done.returncode, done.stdout, done.stderr) == (3, "a b c /usr\n", "")


@needs_root
def test_what_takes_too_long_is_ended_with_all_it_began():
    sleep = f"{10**6 + os.getpid()}.5"
    done = HERE.run([*RUN, sleep], seconds=2)
    assert (done.returncode, done.stdout) == (TOO_LATE, "begun\n")
    assert done.stderr == "not done within 2 s\n"
    eventually(lambda: not sleeps(sleep))


SCRIPT = """\
import sys
from pathlib import Path
from edge_client.cli.ending import ended_in_order
from tests.pi.userland import Userland
with ended_in_order():
    Userland(Path("/")).run(sys.argv[1:])
"""


@needs_root
def test_who_ends_the_run_ends_what_is_inside(repository):
    sleep = f"{10**6 + os.getpid()}.25"
    mounts = Path("/proc/self/mounts").read_text()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *RUN, sleep], cwd=repository, stderr=subprocess.DEVNULL
    ) as runner:
        eventually(lambda: sleeps(sleep))
        runner.terminate()
        assert runner.wait(60) == 128 + signal.SIGTERM
    eventually(lambda: not sleeps(sleep))
    assert mounts == Path("/proc/self/mounts").read_text()


def test_a_failure_outside_is_its_last_words():
    with pytest.raises(PiError, match=r"^sh -c echo no >&2; exit 4: no$"):
        checked(["sh", "-c", "echo no >&2; exit 4"])
    with pytest.raises(PiError, match=r"^sleep 60: not done within 0.2 s$"):
        checked(["sleep", "60"], seconds=0.2)


def test_a_registry_that_does_not_start_is_told(repository, tmp_path, monkeypatch):
    """What it says goes on to whoever tries: as something that did not hold."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *" serve "*) echo broken >&2; exit 3;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(PiError, match="the registry did not start: broken"):
        signed_pull.signed_pull(Userland(tmp_path), repository, print)


def test_what_is_shown_goes_where_the_run_says_it(capfd):
    done = run(["sh", "-c", "echo seen; exit 3"], shown=True)
    assert (done.returncode, done.stdout) == (3, None)
    assert capfd.readouterr().out == "seen\n"
    assert run(["sh", "-c", "echo given"]).stdout == "given\n"
