"""The demo that is told to end: nothing that it began goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

from tests.edge_client.waiting import eventually
from tests.processes import sleeps

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


def test_a_demo_that_is_told_to_end_leaves_nothing_running(repository, tmp_path):
    seconds, there = f"{10**6 + os.getpid()}.75", tmp_path / "place" / "there"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "place"), seconds],
        cwd=repository,
        stdout=subprocess.DEVNULL,
    ) as demo:
        try:
            eventually(lambda: there.exists() and sleeps(seconds))
            broker, registry = json.loads(there.read_text())
            addresses = (broker, urlsplit(registry).netloc)
            assert all(map(answers, addresses))
        finally:
            demo.terminate()
        assert demo.wait(120) == 128 + signal.SIGTERM
    assert not any(map(answers, addresses))
    eventually(lambda: not sleeps(seconds))
