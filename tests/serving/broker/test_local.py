"""The broker's helper: whichever there is answers, and what cannot be is told in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from serving.broker import find_mosquitto, local, start_broker
from serving.options import UsageError

LIMIT_S = 60
COMMAND = (sys.executable, "-m", "serving.broker")


def exchanged(port: int) -> bytes:
    """A message published and received by one plain client."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    got: list[bytes] = []
    arrived, subscribed = threading.Event(), threading.Event()

    def note(client, data, message):
        got.append(message.payload)
        arrived.set()

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = note
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        client.subscribe("there")
        assert subscribed.wait(LIMIT_S)
        client.publish("there", b"and back")
        assert arrived.wait(LIMIT_S)
    finally:
        client.disconnect()
        client.loop_stop()
    return got[0]


@pytest.mark.parametrize("backend", ["mosquitto", "embedded"])
def test_it_carries_messages_and_ends_with_the_block(backend, request):
    if backend == "mosquitto":
        request.getfixturevalue("mosquitto")
    with start_broker(backend=backend) as broker:
        assert broker.address == f"127.0.0.1:{broker.port}"
        assert exchanged(broker.port) == b"and back"
    assert broker.process.returncode is not None
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", broker.port), 5)


def test_auto_takes_what_is_there(monkeypatch):
    with start_broker() as broker:
        assert (broker.what == "mosquitto") == (find_mosquitto() is not None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(local, "_ELSEWHERE", ())
    assert find_mosquitto() is None
    with start_broker() as broker:
        assert broker.what == "embedded broker (amqtt)"
    with pytest.raises(UsageError, match="neither on PATH"), start_broker(backend="mosquitto"):
        pass


def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is in use"):
            start_broker(port).__enter__()


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_can_be_none_is_told(host):
    with pytest.raises(UsageError, match="no name that a host can have"):
        start_broker(host=host).__enter__()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_listens_and_ends_on_a_signal(number):
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        port = int(line.rsplit(":", 1)[1])
        assert exchanged(port) == b"and back"
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert (out, err) == ("", "")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 5)


def test_wrong_use_is_told():
    for arguments, said in (
        (("--port", "70000"), "between 0 and 65535"),
        (("--host", "no.such.host.invalid", "--port", "0"), "no.such.host.invalid"),
        (("--backend", "other"), "invalid choice"),
    ):
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**os.environ},
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
