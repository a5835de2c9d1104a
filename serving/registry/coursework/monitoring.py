"""Monitoring on the registry's own host, as the coursework's ``/predict`` starts it.

Each model is monitored with in a process of its own, which ends with the registry. A replay may be
read by several; a sensor on a pin has one reader, so there the latest model takes the place of the
one before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any

from edge_client.monitor.alarm import Thresholds
from edge_client.mqtt.broker import Broker
from serving.registry.coursework.added_child import Request, Watch, command, thresholds_line
from serving.registry.errors import BadRequestError
from serving.registry.log import log
from serving.registry.options import SensorOptions

MAX_RUNNING = 8
DEVICE = "registry"  # who measures, at a broker that asks nobody for a name
_START_S = 60.0
_END_S = 8.0


@dataclass(frozen=True)
class _Running:
    process: subprocess.Popen[bytes]
    model: str  # SHA-256


class Monitoring:
    """The processes that monitor; safe to use from several threads."""

    def __init__(self, sensing: SensorOptions, broker: Broker | None, prefix: str) -> None:
        self._sensing, self._broker, self._prefix = sensing, broker, prefix
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def start(self) -> None:
        """Nothing is monitored until somebody asks for it."""

    def close(self) -> None:
        """Ends all of it."""
        with self._lock:
            for each in self._running.values():
                _hang_up(each.process)  # all of them at once ...
            for name in list(self._running):
                self._end(name)  # ... and waited for one after another

    def watch(self, name: str, model: bytes, thresholds: Thresholds) -> None:
        """Monitors with a model; where that is done already, with these thresholds from now on.

        Raises:
            BadRequestError: there is no broker, no sensor, or too much is monitored already; or
                the sensor or the model cannot be used.
        """
        if self._broker is None:
            raise BadRequestError("this registry speaks to no broker; serve it with --broker")
        if self._sensing.sensor is None and self._sensing.replay is None:
            raise BadRequestError(
                "this registry has no sensor; serve it with --sensor dht11:GPIOn or --replay FILE"
            )
        sha256 = hashlib.sha256(model).hexdigest()
        with self._lock:
            for gone in [n for n, each in self._running.items() if each.process.poll() is not None]:
                self._end(gone)
            known = self._running.get(name)
            if known is not None and known.model == sha256 and _told(known, thresholds):
                return
            for other in [name] if self._sensing.sensor is None else list(self._running):
                self._end(other)
            if len(self._running) >= MAX_RUNNING:
                raise BadRequestError(f"{MAX_RUNNING} models are monitored with already")
            request = Request(name, model, 2 * _START_S, self._watch(self._broker, thresholds))
            self._running[name] = _Running(_started(request), sha256)

    def _watch(self, broker: Broker, thresholds: Thresholds) -> Watch:
        user = broker.credentials
        sensing = self._sensing
        return Watch(
            temperature=thresholds.temperature,
            humidity=thresholds.humidity,
            # Under rights by name, a client may speak below its own only.
            device=user.username if user else DEVICE,
            prefix=self._prefix,
            host=broker.address.host,
            port=broker.address.port,
            ca=str(broker.ca) if broker.ca else None,
            username=user.username if user else None,
            password=user.password if user else None,
            sensor=sensing.sensor,
            replay=str(sensing.replay) if sensing.replay else None,
            interval_s=sensing.interval_s,
        )

    def _end(self, name: str) -> None:
        known = self._running.pop(name, None)
        if known is not None:
            _ended(known.process)


def _started(request: Request) -> subprocess.Popen[bytes]:
    """A process that monitors; raises `BadRequestError` with its own words when it does not."""
    process = subprocess.Popen(
        command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C in the terminal is the registry's alone
    )
    answers: Queue[Mapping[str, Any]] = Queue()
    threading.Thread(target=_listen, args=(process, request.name, answers), daemon=True).start()
    try:
        assert process.stdin is not None
        process.stdin.write(request.line())
        process.stdin.flush()
        said = answers.get(timeout=_START_S)
    except (Empty, BrokenPipeError):
        said = {"error": f"{request.name}: the monitoring does not start"}
    if "error" in said:
        _ended(process)
        raise BadRequestError(str(said["error"]))
    return process


def _listen(process: subprocess.Popen[bytes], name: str, answers: Queue[Mapping[str, Any]]) -> None:
    """Hands on what a process says first, and logs the rest."""
    assert process.stdout is not None
    first = True
    with process.stdout:
        for line in process.stdout:
            said = json.loads(line)
            if first:
                answers.put(said)
            first = False
            log.info("monitoring", extra={"fields": {"model": name, **said}})
    if first:
        answers.put({"error": f"{name}: the monitoring crashes"})
    log.info("monitoring ended", extra={"fields": {"model": name, "status": process.wait()}})


def _told(known: _Running, thresholds: Thresholds) -> bool:
    """Tells a process other thresholds; whether it took them."""
    assert known.process.stdin is not None
    try:
        known.process.stdin.write(thresholds_line(thresholds.temperature, thresholds.humidity))
        known.process.stdin.flush()
    except OSError:  # it ended as we spoke
        return False
    return True


def _ended(process: subprocess.Popen[bytes]) -> None:
    _hang_up(process)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    # What was not taken in by a process that is gone is of no use to anybody.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
