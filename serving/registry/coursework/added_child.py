"""A process of its own in which a model that anybody added is run: once, or to monitor with.

It reads a :class:`Request` in JSON, one line, and says ``{"ready": …}`` or ``{"error": …}``, one
line. If it is to monitor it goes on, says ``{"told": …}`` now and then, and takes other thresholds
in further lines; it ends with its standard input, so that it never outlives the registry.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_client.errors import EdgeError
from serving.registry.options import SensorOptions

_MEMORY = 512 * 2**20  # bytes a model may want beyond what the empty process has
_LONGEST_LINE = 2**20


@dataclass(frozen=True)
class Watch:
    """What is to be monitored, and who is told."""

    temperature: float  # thresholds
    humidity: float
    device: str
    prefix: str
    host: str  # of the broker
    port: int
    ca: str | None
    username: str | None
    password: str | None
    sensor: str | None
    replay: str | None
    interval_s: float

    @property
    def sensing(self) -> SensorOptions:
        """The same as the registry's own options."""
        replay = Path(self.replay) if self.replay else None
        return SensorOptions(self.sensor, replay, self.interval_s)


@dataclass(frozen=True)
class Request:
    """A model, and what is to be done with it beside running it once."""

    name: str
    model: bytes
    seconds: float  # in which it has run once; else the process ends, whatever the model does
    watch: Watch | None = None

    def line(self) -> bytes:
        """One line of JSON."""
        model = base64.b64encode(self.model).decode()
        values = {
            "name": self.name,
            "model": model,
            "seconds": self.seconds,
            "watch": asdict(self.watch) if self.watch else None,
        }
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Request:
        """What :meth:`line` wrote."""
        values = json.loads(line)
        watch = Watch(**values["watch"]) if values["watch"] else None
        return cls(values["name"], base64.b64decode(values["model"]), values["seconds"], watch)


def thresholds_line(temperature: float, humidity: float) -> bytes:
    """Other thresholds for a process that monitors."""
    return json.dumps({"temperature": temperature, "humidity": humidity}).encode() + b"\n"


def command() -> Sequence[str]:
    """How such a process is started."""
    return (sys.executable, "-m", "serving.registry.coursework.added_child")


def first_line(said: bytes) -> dict[str, Any]:
    """The first line of what such a process said; empty if it said nothing whole."""
    line, end, _ = said.partition(b"\n")
    values: dict[str, Any] = json.loads(line) if end else {}
    return values


def main() -> int:
    """Does what one request asks for."""
    answers = _Answers()
    line = sys.stdin.buffer.readline(_LONGEST_LINE)
    if not line:
        return 0
    try:
        _serve(Request.read(line), answers)
    except EdgeError as error:
        answers.say({"error": str(error)})
        return 2
    except MemoryError:
        answers.say({"error": f"the model wants more memory than {_MEMORY // 2**20} MiB"})
        return 2
    return 0


class _Answers:
    """Standard output for our answers only: whatever LiteRT prints goes nowhere."""

    def __init__(self) -> None:
        self._handle = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(self, values: dict[str, Any]) -> None:
        os.write(self._handle, json.dumps(values).encode() + b"\n")


def _serve(request: Request, answers: _Answers) -> None:
    import numpy as np

    from edge_client.confine import confine
    from edge_client.features.spec import Standardisation
    from edge_client.interpreter import litert
    from edge_client.monitor.constants import JENA_DEVIATION, JENA_MEAN
    from edge_client.monitor.forecaster import of_plain

    # The signal's own action, which takes effect inside LiteRT as well: who is killed while waiting
    # for a model without an end can end it no more.
    signal.setitimer(signal.ITIMER_REAL, request.seconds)
    litert()
    confine(_MEMORY)
    standardisation = Standardisation(JENA_MEAN, JENA_DEVIATION)
    forecaster = of_plain(request.model, request.name, standardisation)
    forecaster.name = request.name  # dots and all
    usual = np.tile(np.asarray(JENA_MEAN, np.float32), (forecaster.input_steps, 1))
    if not np.isfinite(forecaster(usual)).all():
        raise EdgeError(f"{request.name}: forecasts what is no number")
    if request.watch is None:
        answers.say({"ready": request.name})
    else:
        _watch(forecaster, request.watch, answers)


def _watch(forecaster: Any, wanted: Watch, answers: _Answers) -> None:
    from edge_client.cli.seldom import Seldom
    from edge_client.fleet.topics import Topics
    from edge_client.monitor.alarm import Thresholds
    from edge_client.monitor.loop import Monitor
    from edge_client.monitor.topics import MonitorTopics
    from edge_client.monitor.watch import Setup, open_sensor, watch
    from edge_client.mqtt.broker import Broker, BrokerAddress, Credentials

    credentials = None
    if wanted.username is not None and wanted.password is not None:
        credentials = Credentials(wanted.username, wanted.password)
    ca = Path(wanted.ca) if wanted.ca else None
    sensing = wanted.sensing
    setup = Setup(
        forecaster,
        open_sensor(sensing.sensor, sensing.replay),
        Thresholds(wanted.temperature, wanted.humidity),
        Broker(BrokerAddress(wanted.host, wanted.port), ca, credentials),
        MonitorTopics(Topics(wanted.prefix), wanted.device),
        sensing.interval_s,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def listen(monitor: Monitor) -> None:
        for line in sys.stdin.buffer:
            monitor.thresholds = Thresholds(**json.loads(line))
        stop.set()

    def began(monitor: Monitor) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        threading.Thread(target=listen, args=(monitor,), daemon=True).start()
        answers.say({"ready": forecaster.name})

    seldom = Seldom(lambda text: answers.say({"told": text}))
    answers.say({"told": watch(setup, stop, seldom.say, began).line()})


if __name__ == "__main__":
    sys.exit(main())
