"""Models that forecast the last sample again, records, and a broker that can be restarted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing

import numpy as np
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_client.monitor.constants import JENA_DEVIATION, JENA_MEAN
from tests.edge_client.tiny import linear_model
from tests.edge_client.waiting import eventually

LIMIT_S = 60
COMMAND = (sys.executable, "-m", "edge_client")

# Started by root it would become somebody else, who cannot write to a test's folder.
_CONFIG = """\
user root
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
log_type error
"""


def persistence_model(steps=1, shape=(1, 6, 2), outputs=None, added=(0.0, 0.0)):
    """TFLite model that forecasts the last sample, by the coursework's constants.

    ``added`` [2] is what each further step is off by, in °C and %.
    """
    inputs = int(np.prod(shape))
    outputs = 2 * steps if outputs is None else outputs
    weights, bias = np.zeros((outputs, inputs)), np.zeros(outputs)
    for row in range(outputs):
        quantity = row % 2
        weights[row, inputs - 2 + quantity] = JENA_DEVIATION[quantity]
        bias[row] = JENA_MEAN[quantity] + (row // 2) * added[quantity]
    return linear_model(weights, bias, shape)


def records_csv(rows, start=0, step=600):
    """A CSV of the library's own columns; ``rows`` are (T, RH)."""
    lines = ["time,T,RH", *(f"{start + step * n},{t},{rh}" for n, (t, rh) in enumerate(rows))]
    return "\n".join(lines) + "\n"


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mosquitto:
    """A broker that keeps sessions through a restart, as an operator's does."""

    def __init__(self, program, folder):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        config = folder / "mosquitto.conf"
        config.write_text(_CONFIG.format(port=self.port, folder=folder))
        self._command = (program, "-c", str(config))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._process = subprocess.Popen(self._command)
        eventually(self._answers)

    def stop(self):
        self._process.terminate()
        self._process.wait(LIMIT_S)

    def _answers(self):
        assert self._process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Listener:
    """A client of the test's own."""

    def __init__(self, broker, *topics):
        self.heard = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        ready = []
        self._client.on_subscribe = lambda *_: ready.append(True)
        self._client.on_message = lambda c, d, said: self.heard.append(said)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])
            eventually(lambda: ready)

    def of(self, topic):
        """What was said there, as JSON."""
        return [json.loads(said.payload) for said in self.heard if said.topic == topic]

    def publish(self, topic, payload):
        self._client.publish(topic, payload, 1).wait_for_publish(LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()


class Program:
    """``ml4iot-edge`` in a process of its own."""

    def __init__(self, folder, *arguments, zone="Europe/Rome"):
        self._out, self._err = folder / "out", folder / "err"
        folder.mkdir(exist_ok=True)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                stdout=out,
                stderr=err,
                env={**os.environ, "TZ": zone},
            )

    @property
    def lines(self):
        return self._out.read_text().splitlines()

    @property
    def said(self):
        return self._err.read_text()

    def says(self, text):
        eventually(lambda: text in self.said or self.process.poll() is not None)
        assert text in self.said

    def ends(self):
        self.process.wait(LIMIT_S)
        return self.process.returncode

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.ends()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)
