from __future__ import annotations

import os
import secrets
import socket
from contextlib import contextmanager

import pytest

from edge_client.fleet.service.systemd import Notifier


@contextmanager
def manager(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(5)
        yield listening


def abstract():
    return f"\0ml4iot-{secrets.token_hex(8)}"


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_what_systemd_hears(kind, tmp_path):
    address = str(tmp_path / "notify") if kind == "path" else abstract()
    with manager(address) as listening:
        notifier = Notifier({"NOTIFY_SOCKET": address.replace("\0", "@")})
        notifier.ready()
        notifier.status("two\nlines\tbecome one " + 300 * "x")
        notifier.alive()
        notifier.stopping()
        heard = [listening.recv(4096).decode() for _ in range(4)]
    assert heard[0] == "READY=1"
    assert heard[1].startswith("STATUS=two lines become one x")
    assert len(heard[1]) <= 210 and "\n" not in heard[1]
    assert heard[2:] == ["WATCHDOG=1", "STOPPING=1"]


def test_nobody_to_tell(tmp_path):
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_it_is_ours(environment, seconds):
    assert Notifier(environment).watchdog_s == seconds
