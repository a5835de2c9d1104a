"""The operator's broker, as ``ml4iot-broker`` makes and runs it."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager

from edge_client.mqtt.broker import open_broker
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Subscription
from serving.broker.folder import create
from serving.options import bind

LIMIT_S = 30
COMMAND = (sys.executable, "-m", "serving.broker.command")


class Operator:
    """A broker's folder, and the broker while it runs."""

    def __init__(self, path, hosts=("broker.example",)):
        with bind("127.0.0.1", 0) as probe:
            self.port = probe.getsockname()[1]
        self.folder = create(path, hosts, self.port, "127.0.0.1")
        self.process = None

    def as_user(self, name, host="127.0.0.1"):
        """The broker, for a user whose password still lies there."""
        file = self.folder.path / "credentials" / f"{name}.password"
        return open_broker(f"{host}:{self.port}", self.folder.ca, name, file)

    @contextmanager
    def running(self, **options):
        """``ml4iot-broker run``; its lines are in ``said`` afterwards."""
        with subprocess.Popen(
            [*COMMAND, "run", str(self.folder.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        ) as process:
            self.errors = []
            reading = threading.Thread(target=lambda: self.errors.extend(process.stderr))
            reading.start()
            self.line = process.stdout.readline()
            try:
                assert "listens at" in self.line, self.errors
                yield self
            finally:
                process.terminate()
                process.wait(LIMIT_S)
                reading.join(LIMIT_S)
        assert process.returncode == 0


class Heard:
    """What a client hears; empty payloads left out."""

    def __init__(self):
        self.all = []

    def __call__(self, arrived):
        self.all.append((arrived.topic, arrived.payload))

    def __contains__(self, said):
        return said in self.all


def client(broker, *topics, heard=None, qos=1, **options):
    return Connection(
        broker,
        "test",
        [Subscription(topic, qos) for topic in topics],
        heard or Heard(),
        1000,
        **options,
    )
