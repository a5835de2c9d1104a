"""Wrong use of the commands that measure a fleet costs one line, and exit status 2."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fleet --devices 0", "'0' is no whole number from 1 to 9999"),
        ("fleet --registry http://127.0.0.1:1", "--registry needs --root as well"),
        ("fleet --bundle none", "none: no such file"),
        ("push_to_answer --pushes 0", "'0' is no whole number from 1 on"),
        ("push_to_answer --bundle none", "none: no such file"),
        ("server_kills --points 0", "'0' is no whole number from 1 on"),
        ("server_kills --bundle none", "none: no such file"),
        ("server_kills --what device", "invalid choice: 'device'"),
        ("update_kills --points 0", "'0' is no whole number from 1 on"),
        ("registry_kills --points 0", "'0' is no whole number from 1 on"),
    ],
)
def test_wrong_use_costs_one_line(repository, command, message):
    benchmark, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{benchmark}", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
