"""A simulated device: a true one in all but the process it runs in.

It is enrolled, verifies, downloads, installs and reports by the code of ``ml4iot-edge pull
--watch``, in a folder of its own and under an identity of its own.  What differs: devices of one
process share its threads, and the self-test of a bundle, which would load one machine with what a
thousand do, each for itself, runs once in every process instead of once on every device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_client.fleet.announcement import MAX_ANNOUNCEMENT_BYTES, Announcement
from edge_client.fleet.enrolment import (
    EnrolledBroker,
    EnrolledModel,
    Enrolment,
    write_enrolment,
)
from edge_client.fleet.errors import FleetError, UpdateRefused
from edge_client.fleet.home_assistant import discovery, model_version
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import Slots
from edge_client.fleet.service.reporter import Reporter
from edge_client.fleet.service.schedule import Schedule
from edge_client.fleet.topics import Topics
from edge_client.fleet.update.trial import Trial, TrialResult
from edge_client.fleet.update.trust import Trust
from edge_client.fleet.update.updater import Outcome, Updater
from edge_client.mqtt.messages import Arrived, Subscription, Will
from tests.benchmarks.fleet.meter import Meter, MeteredFetcher
from tests.benchmarks.fleet.mqtt_loop import DrivenConnection, MqttLoop


@dataclass(frozen=True)
class Place:
    """Where a fleet lives."""

    registry: str  # URL
    root: Path  # root.json that devices are enrolled with
    model: str
    channel: str
    broker: str  # HOST[:PORT]
    ca: Path | None = None  # of the broker
    credentials: Path | None = None  # folder of DEVICE.password files; None: anybody is let in
    prefix: str = "ml4iot"

    def topics(self) -> Topics:
        """Where things are said."""
        return Topics(self.prefix)

    def broker_of(self, device: str) -> EnrolledBroker:
        """The broker as this device is told of it."""
        folder = self.credentials
        return EnrolledBroker(
            address=self.broker,
            ca=str(self.ca) if self.ca else None,
            username=device if folder else None,
            password_file=str(folder / f"{device}.password") if folder else None,
            prefix=self.prefix,
        )


class OncePerProcess(Trial):
    """Tries every bundle out once; whoever comes later is told what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._known: dict[str, TrialResult | UpdateRefused] = {}  # by the bundle's SHA-256

    def prepare(self) -> None:
        with self._lock:
            super().prepare()

    def __call__(self, bundle: Path, sha256: str, name: str) -> TrialResult:
        with self._lock:
            if sha256 not in self._known:
                try:
                    self._known[sha256] = super().__call__(bundle, sha256, name)
                except UpdateRefused as refusal:
                    self._known[sha256] = refusal
            known = self._known[sha256]
        if isinstance(known, UpdateRefused):
            raise type(known)(str(known))
        return known


class Device:
    """One device.  Its schedule belongs to the loop's thread, an update to any one other."""

    def __init__(self, place: Place, folder: Path, name: str, meter: Meter, trial: Trial) -> None:
        """Enrols it in ``folder``; raises :class:`EdgeError`, :class:`OSError`."""
        self.name, self._place = name, place
        self._home = Home(folder / name)
        self._topics = place.topics()
        enrolment = Enrolment(
            name,
            place.registry,
            (EnrolledModel(place.model, place.channel),),
            place.broker_of(name),
        )
        write_enrolment(self._home, enrolment, place.root)
        self._broker = place.broker_of(name).open()
        self.schedule = Schedule(enrolment.poll_s)
        self.busy = False
        self._reporter = Reporter(name, self._topics, {place.model: place.channel})
        trust = Trust(self._home, place.registry, fetcher=MeteredFetcher(place.registry, meter))
        self._updater = Updater(
            enrolment, self._home, self._reporter.progress, trust=trust, trial=trial
        )

    def connection(self, loop: MqttLoop, hinted: Callable[[Device], None]) -> DrivenConnection:
        """Its connection, driven by a loop.

        Args:
            loop: which.
            hinted: called on the loop's thread when its schedule may have changed.
        """

        def hear(arrived: Arrived) -> None:
            try:
                spread_s = Announcement.parse(arrived.payload).spread_s
            except FleetError:
                spread_s = 0.0
            self.schedule.hint(spread_s)
            hinted(self)

        announcements = self._topics.announcement(self._place.model, self._place.channel)
        connection = DrivenConnection(
            loop,
            self._broker,
            [Subscription(announcements, 1)],
            hear,
            MAX_ANNOUNCEMENT_BYTES,
            will=Will(self._reporter.status_topic, self._reporter.status(online=False)),
            on_ready=self._reporter.greet,
            client_id=f"ml4iot-{self.name}",
        )
        self._reporter.connect(
            lambda *said: connection.ready and connection.publish(*said),
        )
        return connection

    def update(self) -> Outcome:
        """One look at the registry and what follows, reported; raises :class:`EdgeError`."""
        try:
            outcome = self._updater.update(self._place.model)
        except Exception as error:
            self._reporter.put_off(self._place.model, error)
            raise
        self._reporter.outcome(outcome)
        return outcome

    def installed(self) -> tuple[str, str] | None:
        """Version and SHA-256 of what is active and still is what was verified."""
        active = Slots(self._home, self._place.model).active()
        return (active.version, active.sha256) if active and active.intact() else None

    def retained(self) -> tuple[str, ...]:
        """The topics on which the broker keeps what it said."""
        model = self._place.model
        sensor, _ = discovery(
            model_version(model, self.name, self._topics), self.name, self._topics
        )
        return (self._reporter.status_topic, self._topics.model(self.name, model), sensor)

    def close(self) -> None:
        """Lets go of its connection to the registry."""
        self._updater.close()
