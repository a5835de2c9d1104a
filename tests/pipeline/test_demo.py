"""The demo that is told to end: nothing that it began goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

# As the demo is while a pipeline runs: a broker, a registry, and `tfx`, which starts another.
SCRIPT = """\
import json, os, sys
from pathlib import Path
from edge_client.cli.ending import ended_in_order
from pipeline.demo.commands import local_broker, run
from pipeline.demo.fleet import fleet
place = Path(sys.argv[1])
child = "import subprocess, sys; subprocess.run(['sleep', sys.argv[1]])"
with ended_in_order(), local_broker() as broker, fleet(place, place / "log", broker) as registry:
    (place / "part").write_text(json.dumps([broker, registry.url]))
    (place / "part").rename(place / "there")
    run("python", "-c", child, sys.argv[2])
"""


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return False
    return True


def sleeps(seconds: str) -> bool:
    wanted = f"sleep\0{seconds}\0".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                return True
        except OSError:
            pass
    return False


def until(condition) -> None:
    patience = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.02)


def test_a_demo_that_is_told_to_end_leaves_nothing_running(repository, tmp_path):
    seconds, there = f"{10**6 + os.getpid()}.75", tmp_path / "place" / "there"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "place"), seconds],
        cwd=repository,
        stdout=subprocess.DEVNULL,
    ) as demo:
        try:
            until(lambda: there.exists() and sleeps(seconds))
            broker, registry = json.loads(there.read_text())
            addresses = (broker, urlsplit(registry).netloc)
            assert all(map(answers, addresses))
        finally:
            demo.terminate()
        assert demo.wait(120) == 128 + signal.SIGTERM
    assert not any(map(answers, addresses))
    until(lambda: not sleeps(seconds))
