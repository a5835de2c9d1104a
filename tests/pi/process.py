"""Programs that are given a time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

COMMAND_S = 1800.0  # far more than any takes; emulation is slow, and so may a mirror be
TOO_LATE = 124  # exit status of what took longer, as coreutils' timeout has it
# Mounts of its own; and numbers of processes of its own, so that all of them end with the first.
APART = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")


class PiError(Exception):
    """No such userland can be had here; the message says what is missing."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    seconds: float = COMMAND_S,
    folder: str | os.PathLike[str] | None = None,
    shown: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Runs a program, and gives what it said; one that takes too long is killed.

    With ``shown`` whoever waits sees at once what it says; it is then not given.
    """
    to = None if shown else subprocess.PIPE
    try:
        return subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=to,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
        text = said if isinstance(said, str) else said.decode(errors="replace")
        return subprocess.CompletedProcess(
            command, TOO_LATE, text, f"not done within {seconds:g} s\n"
        )


def checked(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    seconds: float = COMMAND_S,
) -> str:
    """What a program said; raises ``PiError`` with its last words where it failed."""
    return said(command, run(command, environment, seconds))


def said(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> str:
    """What a program said; raises ``PiError`` with its last words where it failed."""
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise PiError(f"{' '.join(command[:4])}: {lines[-1] if lines else 'failed'}")
    return done.stdout
