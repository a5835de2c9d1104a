"""One process of the simulator: some hundred devices, one loop, a few hands that update."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from edge_client.errors import EdgeError
from edge_client.fleet.update.updater import Outcome
from tests.benchmarks.fleet.device import Device, OncePerProcess, Place
from tests.benchmarks.fleet.meter import Counted, Meter
from tests.benchmarks.fleet.mqtt_loop import DrivenConnection, MqttLoop

HANDS = 8  # updates at the same moment, in one process
_LEAVE_S = 5.0
# What the simulator's own process orders: say how many are connected, count from here on, say what
# you have, end.
CONNECTED, COUNT, REPORT, END = "connected", "count", "report", "end"


@dataclass(frozen=True)
class Looked:
    """A device has looked at the registry."""

    device: str
    version: str | None  # active now
    at: float  # of time.monotonic, which all processes share
    trouble: str = ""  # why it has not what is offered
    given_up: str | None = None  # the version offered, where it is not tried again


@dataclass(frozen=True)
class Report:
    """What one process has."""

    counted: Counted
    installed: dict[str, tuple[str, str] | None]  # by device: version and SHA-256


def work(place: Place, folder: Path, names: list[str], pipe: Pipe) -> None:
    """Runs the devices of these names until told to end, or until nobody is there to tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the simulator
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            worker = _Worker(place, folder, names, pipe)
        except (EdgeError, OSError) as error:
            pipe.send(Looked(names[0], None, time.monotonic(), str(error)))
            return
        worker.run()


class _Worker:
    def __init__(self, place: Place, folder: Path, names: list[str], pipe: Pipe) -> None:
        self._pipe = pipe
        self._meter, self._trial = Meter(), OncePerProcess()
        self._devices = [Device(place, folder, name, self._meter, self._trial) for name in names]
        self._loop = MqttLoop()
        self._connections: list[DrivenConnection] = []
        self._hands = ThreadPoolExecutor(HANDS, "hand")
        self._due: list[tuple[float, int, Device]] = []
        self._numbers = itertools.count()
        self._ending = False

    def run(self) -> None:
        self._loop.watch(self._pipe, self._obey)
        for device in self._devices:
            connection = device.connection(self._loop, self._arrange)
            self._connections.append(connection)
            self._loop.add(connection)
            self._arrange(device)
            self._loop.step(0.0)
        try:
            while not self._ending:
                self._loop.step(self._begin_those_due())
        finally:
            self._leave()

    def _begin_those_due(self) -> float:
        """Begins their updates; the seconds until the next is due."""
        while self._due:
            at, _, device = self._due[0]
            wait = at - time.monotonic()
            if wait > 0:
                return wait
            heapq.heappop(self._due)
            if device.busy:
                continue
            if device.schedule.wait_s() > 0:
                self._arrange(device)  # it was put off since
                continue
            device.busy = True
            device.schedule.begin()
            self._hands.submit(self._update, device, at)
        return 1.0

    def _arrange(self, device: Device) -> None:
        at = time.monotonic() + device.schedule.wait_s()
        heapq.heappush(self._due, (at, next(self._numbers), device))

    def _update(self, device: Device, due: float) -> None:
        """On another thread."""
        self._meter.late(max(0.0, time.monotonic() - due))
        result: Outcome | Exception
        try:
            result = device.update()
        except Exception as error:  # as in the service: whatever it is, others are served
            result = error
        at = time.monotonic()
        self._loop.post(lambda: self._done(device, result, at))

    def _done(self, device: Device, result: Outcome | Exception, at: float) -> None:
        device.busy = False
        if isinstance(result, Exception):
            device.schedule.failed()
            self._pipe.send(Looked(device.name, None, at, str(result) or type(result).__name__))
        else:
            device.schedule.looked()
            version = result.active.version if result.active else None
            given_up = result.wanted if result.wanted in result.failed else None
            self._pipe.send(Looked(device.name, version, at, result.text, given_up))
        self._arrange(device)

    def _obey(self) -> None:
        order = self._pipe.recv()
        if order == CONNECTED:
            self._pipe.send(sum(connection.ready for connection in self._connections))
        elif order == COUNT:
            self._meter.take()
            self._trial.prepare()
        elif order == REPORT:
            self._pipe.send(
                Report(
                    self._meter.take(),
                    {device.name: device.installed() for device in self._devices},
                )
            )
        elif order == END:
            self._ending = True

    def _leave(self) -> None:
        """Ends what runs, and has the broker keep nothing of these devices."""
        self._hands.shutdown(cancel_futures=True)
        there = [
            (device, connection)
            for device, connection in zip(self._devices, self._connections, strict=False)
            if connection.ready
        ]
        for device, connection in there:
            for topic in device.retained():
                connection.publish(topic, b"", 1, retain=True)
        patience = time.monotonic() + _LEAVE_S
        while not all(connection.flush(0) for _, connection in there):
            if time.monotonic() > patience:
                break
            self._loop.step(0.05)
        for _, connection in there:
            connection.leave()
        while time.monotonic() < patience and any(c.ready for _, c in there):
            self._loop.step(0.05)
        for device in self._devices:
            device.close()
        self._loop.close()
        self._pipe.close()
