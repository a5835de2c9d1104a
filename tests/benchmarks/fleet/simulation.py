"""The simulation: devices in several processes, one announcement, and what comes of it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

from components.progress import Bar, progress
from edge_client.files import read_input
from edge_client.fleet.announcement import MAX_ANNOUNCEMENT_BYTES, Announcement
from edge_client.fleet.errors import FleetError
from edge_client.fleet.installed.home import Home
from edge_client.fleet.update.trust import Trust
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Arrived, Subscription
from serving.registry.client import RegistryClient
from tests.benchmarks.fleet.device import Place
from tests.benchmarks.fleet.meter import Counted
from tests.benchmarks.fleet.worker import CONNECTED, COUNT, END, REPORT, Looked, Report, work

_START_S = 300.0  # for the whole fleet to be enrolled, connected and up to date
_ANSWER_S = 60.0  # for one process to answer an order
_HEARD_S = 15.0  # for the registry to hear the last reports
_STOP_S = 15.0
_TICK_S = 0.2
# A thousand devices have a thousand cards; on one disk they would wait for one another.
_MEMORY = Path("/dev/shm")
Answer = TypeVar("Answer")
Offer = tuple[str, str]  # a version, and its bundle's SHA-256


class Fault(RuntimeError):
    """The simulation cannot go on; one line."""


@dataclass(frozen=True)
class Figures:
    """What came of one announcement."""

    devices: int
    updated_s: Sequence[float]  # of each device that updated, from the announcement on
    lost: Sequence[str]  # devices that do not have, verified, what is offered to them
    unheard: Sequence[str]  # devices of which the registry does not know that they have
    counted: Counted
    trouble: Mapping[str, str] = field(default_factory=dict)  # by device, the last of each


def names_of(devices: int) -> list[str]:
    """What the simulated devices are called."""
    return [f"sim-{number:04}" for number in range(1, devices + 1)]


class Fleet:
    """Simulated devices in processes of their own; see :func:`running`."""

    def __init__(self, names: Sequence[str], pipes: Sequence[Pipe]) -> None:
        self.names = names
        self.versions: dict[str, str | None] = {}  # active, of those that have looked
        self.at: dict[str, float] = {}  # when it became so
        self.trouble: dict[str, str] = {}
        self.given_up: dict[str, str | None] = {}  # the version that is not tried again
        self._pipes = list(pipes)

    def order(self, order: str) -> None:
        """Tells all processes."""
        for pipe in self._pipes:
            pipe.send(order)

    def listen(self) -> None:
        """Takes in what has happened, waiting for it a moment; raises :class:`Fault`."""
        wait(self._pipes, _TICK_S)
        for pipe in self._pipes:
            while pipe.poll():
                told = _received(pipe)
                if isinstance(told, Looked):
                    self._note(told)

    def ask(self, order: str, kind: type[Answer]) -> list[Answer]:
        """What each process answers to an order; raises :class:`Fault`."""
        self.order(order)
        answers: list[Answer] = []
        patience = time.monotonic() + _ANSWER_S
        for pipe in self._pipes:
            while pipe.poll(max(0.0, patience - time.monotonic())):
                told = _received(pipe)
                if isinstance(told, kind):
                    answers.append(told)
                    break
                if isinstance(told, Looked):
                    self._note(told)
            else:
                raise Fault(f"a process of the simulator says nothing for {_ANSWER_S:g} s")
        return answers

    def _note(self, told: Looked) -> None:
        self.given_up[told.device] = told.given_up
        if told.trouble:
            self.trouble[told.device] = told.trouble
        else:
            self.trouble.pop(told.device, None)
        if told.version is not None and self.versions.get(told.device) != told.version:
            self.versions[told.device], self.at[told.device] = told.version, told.at
        elif not told.trouble:
            self.versions.setdefault(told.device, None)


@contextmanager
def running(place: Place, devices: int, processes: int) -> Iterator[Fleet]:
    """A fleet that lives until the block is left."""
    names = names_of(devices)
    context = multiprocessing.get_context("spawn")
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="ml4iot-fleet-", dir=memory) as folder,
        contextlib.ExitStack() as stack,
    ):
        pipes: list[Pipe] = []
        for number in range(min(processes, devices)):
            own, other = context.Pipe()
            process = context.Process(
                target=work,
                args=(place, Path(folder), names[number::processes], other),
                daemon=True,
            )
            process.start()
            other.close()
            stack.callback(_stop, process, own)
            pipes.append(own)
        fleet = Fleet(names, pipes)
        stack.callback(_end, pipes)
        yield fleet


def simulate(
    place: Place,
    devices: int,
    processes: int,
    move: Callable[[], None],
    patience_s: float,
    began: Callable[[], None] = lambda: None,
) -> Figures:
    """Lets a fleet come, has the channel move, and watches what becomes of it.

    Args:
        place: where; what its channel offers first is installed before the clock runs.
        devices: how many.
        processes: they are spread over.
        move: makes the channel offer another version, or asks somebody to.
        patience_s: for all to be updated.
        began: called when the fleet is there and the channel has not moved yet.

    Raises:
        Fault: the fleet does not come, nothing is announced, or a process of it dies.
        EdgeError, UsageError: the registry or the broker is not there, or refuses us.
    """
    with running(place, devices, processes) as fleet, _Announcements(place) as announcements:
        _assemble(fleet, place)
        fleet.order(COUNT)
        began()
        announcements.forget()
        move()
        announced = _announced(fleet, announcements, patience_s)
        offered = _Offered(place)
        wanted = {name: offer for name in fleet.names if (offer := offered.to(name))}
        if not wanted:
            raise Fault(f"channel {place.channel} of {place.model} offers nothing now")
        _until_updated(fleet, wanted, announced + patience_s)
        reports = fleet.ask(REPORT, Report)
        have = {name: has for report in reports for name, has in report.installed.items()}
        lost = [name for name, offer in wanted.items() if have.get(name) != offer]
        counted = Counted()
        for report in reports:
            counted.add(report.counted)
        taken = {name: offer for name, offer in wanted.items() if name not in lost}
        return Figures(
            devices=devices,
            updated_s=sorted(at - announced for at in fleet.at.values() if at > announced),
            lost=lost,
            unheard=_unheard(place, taken),
            counted=counted,
            trouble=dict(fleet.trouble),
        )


def _assemble(fleet: Fleet, place: Place) -> None:
    patience = time.monotonic() + _START_S
    with progress("the fleet comes", len(fleet.names)) as bar:
        done = 0
        while done < len(fleet.names):
            fleet.listen()
            done = _advance(bar, done, len(fleet.versions))
            if time.monotonic() > patience:
                why = next(iter(fleet.trouble.values()), "it may need more time")
                raise Fault(f"{done} of {len(fleet.names)} devices came to {place.registry}: {why}")
    while sum(fleet.ask(CONNECTED, int)) < len(fleet.names):
        time.sleep(_TICK_S)
        if time.monotonic() > patience:
            raise Fault(f"not all devices were let in by the broker at {place.broker}")


def _announced(fleet: Fleet, announcements: _Announcements, patience_s: float) -> float:
    patience = time.monotonic() + patience_s
    while announcements.moved is None:
        fleet.listen()
        if time.monotonic() > patience:
            raise Fault(f"nothing was announced within {patience_s:g} s")
    return announcements.moved


def _until_updated(fleet: Fleet, wanted: Mapping[str, Offer], until: float) -> None:
    with progress("updating", len(wanted)) as bar:
        done = 0
        while done < len(wanted) and time.monotonic() < until:
            fleet.listen()
            over = sum(
                version in (fleet.versions.get(name), fleet.given_up.get(name))
                for name, (version, _) in wanted.items()
            )
            done = _advance(bar, done, over)


def _advance(bar: Bar, done: int, now: int) -> int:
    if now > done:
        bar.advance(by=now - done)
    return max(done, now)


class _Announcements:
    """Hears when the channel moves."""

    def __init__(self, place: Place) -> None:
        self.moved: float | None = None  # by time.monotonic
        self._last: tuple[str | None, int] | None = None
        self._lock = threading.Lock()
        broker = place.broker_of(names_of(1)[0]).open()
        topic = place.topics().announcement(place.model, place.channel)
        subscriptions = [Subscription(topic, 1)]
        self._connection = Connection(
            broker, "ml4iot-fleet", subscriptions, self._hear, MAX_ANNOUNCEMENT_BYTES
        )

    def __enter__(self) -> _Announcements:
        self._connection.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.__exit__(None, None, None)

    def forget(self) -> None:
        """What was announced before does not count."""
        with self._lock:
            self.moved = None

    def _hear(self, arrived: Arrived) -> None:
        now = time.monotonic()
        with contextlib.suppress(FleetError), self._lock:
            said = Announcement.parse(arrived.payload)
            moved = (said.version, said.serial) != self._last
            self._last = (said.version, said.serial)
            if moved and not arrived.retained and self.moved is None:
                self.moved = now


class _Offered:
    """What the registry offers each device, verified as by a device of our own."""

    def __init__(self, place: Place) -> None:
        with tempfile.TemporaryDirectory(prefix="ml4iot-fleet-") as folder:
            home = Home(Path(folder))
            home.make()
            home.root.write_bytes(read_input(place.root, 2**20, str(place.root), FleetError))
            trust = Trust(home, place.registry)
            try:
                trust.refresh()
                self._state = trust.channel(place.model, place.channel)
                rollout = self._state.rollout
                versions = {self._state.version, rollout.version if rollout else None} - {None}
                self._sha256 = {
                    version: trust.bundle(place.model, version).sha256
                    for version in map(str, versions)
                }
            finally:
                trust.close()

    def to(self, device: str) -> Offer | None:
        """What it offers this one; None: nothing."""
        version = self._state.version_for(device)
        return (version, self._sha256[version]) if version else None


def _unheard(place: Place, taken: Mapping[str, Offer]) -> list[str]:
    """The devices of which the registry has not heard, in time, what they have taken."""
    patience = time.monotonic() + _HEARD_S
    with RegistryClient(place.registry) as registry:
        while True:
            heard = dict(_heard(registry, place.model))
            missing = [name for name, (version, _) in taken.items() if heard.get(name) != version]
            if not missing or time.monotonic() > patience:
                return missing
            time.sleep(_TICK_S)


def _heard(registry: RegistryClient, model: str) -> Iterator[tuple[str, str | None]]:
    after: str | None = ""
    while after is not None:
        page = registry.get(f"/devices?limit=1000&after={after}")
        for device in page["devices"]:
            for report in device["models"]:
                if report["model"] == model:
                    yield device["device"], (report["active"] or {}).get("version")
        after = page["next"]


def _received(pipe: Pipe) -> object:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        raise Fault("a process of the simulator has ended by itself") from None


def _end(pipes: Sequence[Pipe]) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):
            pipe.send(END)


def _stop(process: multiprocessing.process.BaseProcess, pipe: Pipe) -> None:
    patience = time.monotonic() + _STOP_S
    with contextlib.suppress(EOFError, OSError):
        while time.monotonic() < patience and pipe.poll(max(0.0, patience - time.monotonic())):
            pipe.recv()  # lest it waits for us
    process.join(max(0.1, patience - time.monotonic()))
    if process.is_alive():
        process.kill()
        process.join()
    pipe.close()
