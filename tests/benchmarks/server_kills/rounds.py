"""Updates of a small fleet, in the middle of which one of its servers is killed."""

from __future__ import annotations

import hashlib
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.edge_pusher.registry import RegistryTarget
from components.edge_pusher.signing import fetch_trusted
from components.edge_pusher.upload import push_signed
from components.pushing import PushError
from edge_client.bundle import Bundle, Manifest
from edge_client.errors import EdgeError
from edge_client.fleet.enrolment import EnrolledModel, Enrolment, write_enrolment
from edge_client.fleet.installed.home import Home
from serving.options import UsageError
from serving.registry.tokens import Tokens
from serving.registry.tuf.create import Created, KeyCounts, create
from tests.benchmarks.fleet.own import CHANNEL, under_version
from tests.benchmarks.push_to_answer import Answers, Fault, answering, child
from tests.benchmarks.server_kills.lookout import Lookout
from tests.benchmarks.server_kills.servers import MosquittoServer, RegistryServer, Server
from tests.edge_client.fleet.kills import working

# How often each device asks by itself; the last one goes by what is announced alone.
POLLS_S = (5.0, 10.0, 86_400.0)
AWAY_S = 0.3  # from the kill until the server is started again
_PATIENCE_S = 60.0  # for the whole fleet to have a version
_AGAIN_S = 0.5  # after a push that EdgePusher gave up
_UNDISTURBED = 5  # updates by which the length of one is measured
_LAST_LINES = 3


@dataclass(frozen=True)
class Killed:
    """One update with a kill in it."""

    delay_s: float  # from the beginning of the push to the kill
    answered: bool  # the registry had answered the push by then
    active: int  # devices that had the new version by then
    repeats: int  # of the push, where EdgePusher had given up
    recovered_s: float  # from the kill until the server was back and all had the new version


class Violation(Exception):
    """A fleet that is not what it should be after a kill."""


class Push(threading.Thread):
    """A push by EdgePusher's code, repeated where that gives up, as an operator would."""

    def __init__(self, target: RegistryTarget, bundle: bytes, manifest: Manifest) -> None:
        """Pushes nothing yet; arguments as of :func:`push_signed`."""
        super().__init__(name="push", daemon=True)
        self._arguments = target, bundle, manifest
        self.sha256 = hashlib.sha256(bundle).hexdigest()
        self.version = manifest.version
        self.answered = False
        self.repeats = 0
        self.trouble = ""

    def run(self) -> None:
        """Pushes until it is answered, or there is no more patience."""
        patience = time.monotonic() + _PATIENCE_S
        while not self.answered:
            try:
                push_signed(*self._arguments)
                self.answered = True
            except PushError as error:
                self.trouble = str(error)
                if time.monotonic() > patience:
                    return
                self.repeats += 1
                time.sleep(_AGAIN_S)


class Fleet:
    """Registry, broker and devices that run; see :func:`fleet`."""

    def __init__(
        self,
        bundle: Bundle,
        target: RegistryTarget,
        homes: Sequence[Home],
        servers: Mapping[str, Server],
        lookout: Lookout,
    ) -> None:
        """Nothing is pushed yet.

        Args:
            bundle: whose model is pushed, under one version after the other.
            target: the registry, as EdgePusher is told of it.
            homes: of the devices, each with the log of its process beside it.
            servers: that may be killed, by name.
            lookout: that watches over the devices.
        """
        self._bundle, self._target, self._homes = bundle, target, homes
        self._servers, self._lookout = servers, lookout
        self._number = 0
        self._services = ExitStack()
        self.answers: Answers | None = None  # of the first device, once there is a model to use

    @property
    def looks(self) -> int:
        """How often an active slot was read and found whole."""
        return self._lookout.looks

    def __enter__(self) -> Fleet:
        self.start_devices()
        return self

    def __exit__(self, *exception: object) -> None:
        self._services.close()

    def start_devices(self) -> None:
        """Starts the services of the devices, anew where they run.

        So they look at once when something is announced: after very many announcements in a few
        minutes, as there are here, a service takes its time.

        Raises:
            Violation: one does not reach the registry and the broker.
        """
        self._services.close()
        for home in self._homes:
            watching = ["edge_client", "pull", "--watch", "--home", str(home.path)]
            self._services.enter_context(child(watching, _log(home)))
        # The broker, and what the registry had to say about the model.
        heard = (" is there\n", f"ml4iot-edge: {self._bundle.manifest.name}: ")
        patience = time.monotonic() + _PATIENCE_S
        for home in self._homes:
            while not all(each in _log(home).read_text() for each in heard):
                if time.monotonic() > patience:
                    raise Violation(f"{home.path.name} does not start: {_last(home)}")
                time.sleep(0.05)

    def update(self) -> float:
        """One update that nobody disturbs; seconds from the push until the last device has it.

        Raises:
            Violation: a device does not come to it.
        """
        push, began = self._next(), time.monotonic()
        push.start()
        return self._whole(push) - began

    def length(self, pause_s: float) -> float:
        """Seconds of a whole update, measured.

        Args:
            pause_s: seconds before each, in which the devices come to rest.

        Raises:
            Violation: a device does not come to a version.
        """
        seconds = []
        for _ in range(_UNDISTURBED):
            time.sleep(pause_s)
            seconds.append(self.update())
        return statistics.median(seconds)

    def kill(self, name: str, delay_s: float) -> Killed:
        """One update in which a server is killed, and started again soon.

        Raises:
            Violation: the server does not come back, a device does not come to the new version, or
                had at any moment one that is not what was pushed.
        """
        server, push = self._servers[name], self._next()
        began = time.monotonic()
        push.start()
        time.sleep(max(0.0, began + delay_s - time.monotonic()))
        answered, active = push.answered, self._lookout.active().count(push.version)
        server.kill()
        killed = time.monotonic()
        time.sleep(AWAY_S)
        try:
            server.start()
        except (UsageError, TimeoutError) as error:
            raise Violation(f"the {name} does not come back: {error}") from None
        recovered = self._whole(push)
        return Killed(killed - began, answered, active, push.repeats, recovered - killed)

    def _next(self) -> Push:
        """A push of the next version, which may be active from now on."""
        push = Push(self._target, *under_version(self._bundle, str(self._number)))
        self._number += 1
        self._lookout.expect(push.version, push.sha256)
        return push

    def _whole(self, push: Push) -> float:
        """When all devices had what is pushed, after everything about them has been looked at."""
        all_there = self._lookout.wait(push.version, _PATIENCE_S)
        there = time.monotonic()
        push.join(_PATIENCE_S)
        if self._lookout.faults:
            raise Violation("; ".join(self._lookout.faults))
        if not push.answered:
            raise Violation(f"version {push.version} is not pushed: {push.trouble}")
        if not all_there:
            late = zip(self._lookout.active(), self._homes, strict=True)
            says = [f"{home.path.name}: {_last(home)}" for has, home in late if has != push.version]
            raise Violation(f"not every device has {push.version} in time; {'; '.join(says)}")
        self._check(push)
        return there

    def _check(self, push: Push) -> None:
        """Every device works with what was signed, as its own code and its users see it."""
        name, target = self._bundle.manifest.name, self._target
        signed = fetch_trusted(target.url, target.read_root(), target.seen)
        if signed.sha256(name, push.version) != push.sha256:
            raise Violation(f"what is signed as version {push.version} is not what was pushed")
        try:
            for home in self._homes:
                if working(home, name) != push.version:
                    raise Violation(f"{home.path.name} has gone back from {push.version}")
            if self.answers is not None:
                self.answers.first(push.version)
        except (EdgeError, Fault) as error:
            raise Violation(str(error)) from None


@contextmanager
def fleet(bundle: Bundle, folder: Path) -> Iterator[Fleet]:
    """Runs a registry, Mosquitto and devices with a version installed until the block is left.

    Raises:
        UsageError: there is no Mosquitto, or a server does not start.
        Violation: the first version does not reach the devices.
    """
    name = bundle.manifest.name
    devices = [f"pi-{number}" for number in range(1, len(POLLS_S) + 1)]
    homes = [Home(folder / device) for device in devices]
    with ExitStack() as stack:
        created = create(folder / "registry", folder / "keys", KeyCounts())
        target_token = Tokens(created.folder).add("pipeline", "push")
        broker = stack.enter_context(MosquittoServer(folder / "broker", devices))
        registry = stack.enter_context(
            RegistryServer(created.folder, broker, folder / "registry.log")
        )
        target = _target(created, registry.url, folder, target_token)
        lookout = stack.enter_context(Lookout(homes, name))
        for device, home, poll_s in zip(devices, homes, POLLS_S, strict=True):
            models = (EnrolledModel(name, CHANNEL),)
            enrolment = Enrolment(device, registry.url, models, broker.enrolled(device), poll_s)
            write_enrolment(home, enrolment, created.trusted_root)
        servers = {"registry": registry, "broker": broker}
        made = stack.enter_context(Fleet(bundle, target, homes, servers, lookout))
        made.update()
        made.answers = stack.enter_context(answering(homes[0], name, folder / "answering.log"))
        made.update()
        yield made


def _target(created: Created, url: str, folder: Path, token: str) -> RegistryTarget:
    file = folder / "token"
    file.write_text(f"{token}\n")
    return RegistryTarget(
        url, str(file), (str(created.targets_keys[0]),), str(created.trusted_root), CHANNEL
    )


def _log(home: Home) -> Path:
    return home.path.with_name(f"{home.path.name}.log")


def _last(home: Home) -> str:
    lines = _log(home).read_text(errors="replace").splitlines()
    return " | ".join(lines[-_LAST_LINES:]) or "it says nothing"


def spread(length_s: float, points: int) -> list[float]:
    """So many delays, spread evenly over an update of this length."""
    return [length_s * number / max(1, points - 1) for number in range(points)]
