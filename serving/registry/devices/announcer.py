"""The registry's place at the broker: it announces where channels point, and hears its devices.

An announcement is a hint: devices believe the signed metadata only. It is retained, at QoS 1, and
said again whenever a broker comes back, which may have forgotten what it retained. It also says
over how long the devices are to spread what they ask, for all of them hear it at the same moment.
"""

from __future__ import annotations

import threading

from edge_client.fleet.announcement import Announcement
from edge_client.fleet.errors import FleetError
from edge_client.fleet.report import MAX_REPORT_BYTES
from edge_client.fleet.topics import Topics
from edge_client.mqtt.broker import Broker, BrokerError
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Arrived, Subscription
from serving.registry.devices.devices import Devices
from serving.registry.log import log

CLIENT = "ml4iot-registry"
# A fifth of what a registry serves on one core, for each update takes it some 3 ms.
UPDATES_PER_S = 60


class Announcer:
    """The registry as a client of a broker; without a broker it does nothing.

    A broker that is away, or does not want us, is asked again until it does.
    """

    def __init__(self, broker: Broker | None, topics: Topics, devices: Devices) -> None:
        """Raises `BrokerError` for a CA's file that cannot be used."""
        self._topics = topics
        self._devices = devices
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str], tuple[str | None, int]] = {}  # version and serial
        self._refused = ""
        self._set_back = False  # the folder, which was said
        # QoS 0: a broker keeps only so many messages of QoS 1 for a client (Mosquitto 1,000 unless
        # told otherwise), and would drop most of what a large fleet has retained when we come. What
        # a lost connection loses is retained as well, and comes again.
        filters = (
            topics.all_statuses,
            topics.all_models,
            topics.all_usage,
            topics.all_announcements,  # our own, as far as the broker remembers them
        )
        self._connection: Connection | None = None
        if broker is not None:
            self._connection = Connection(
                broker,
                CLIENT,
                [Subscription(each) for each in filters],
                self._heard,
                MAX_REPORT_BYTES,
                on_ready=self._ready,
                on_lost=lambda: log.warning("the broker is lost; it is asked again"),
                on_refused=self._not_wanted,
                patient=True,
            )

    def start(self) -> None:
        """Connects, in the background. Raises `BrokerError` for a name that no host can have."""
        if self._connection is not None:
            self._connection.__enter__()

    def close(self) -> None:
        """Takes leave of the broker."""
        if self._connection is not None:
            self._connection.__exit__(None, None, None)

    @property
    def ready(self) -> bool:
        """Whether there is a broker that hears us."""
        return self._connection is not None and self._connection.ready

    def announce(self, model: str, channel: str, version: str | None, serial: int) -> None:
        """Says that a channel has moved; waits for nothing. Of two serials the later one counts."""
        with self._lock:
            if self._said.get((model, channel), (None, -1))[1] > serial:
                return
            self._said[model, channel] = (version, serial)
            if self.ready:
                self._publish(model, channel, version, serial)

    def _ready(self) -> None:
        log.info("the broker is there")
        with self._lock:
            for (model, channel), (version, serial) in self._said.items():
                self._publish(model, channel, version, serial)

    def _publish(self, model: str, channel: str, version: str | None, serial: int) -> None:
        assert self._connection is not None
        reports = self._devices.reports(model, channel).values()
        others = max(0, sum(online for _, online in reports) - 1)
        said = Announcement(version, serial, round(others / UPDATES_PER_S, 1))
        topic = self._topics.announcement(model, channel)
        if not self._connection.publish(topic, said.serialise(), 1, retain=True):
            log.warning("%s is not announced: the broker takes too long", topic)

    def _heard(self, arrived: Arrived) -> None:
        said = self._topics.read(arrived.topic)
        if said is not None and said.kind == "announcement":
            if arrived.retained:
                self._compare(arrived)
        elif said is not None:
            self._devices.take(said, arrived.payload)

    def _compare(self, arrived: Arrived) -> None:
        """Tells of a folder that is older than what the broker remembers of it."""
        try:
            remembered = Announcement.parse(arrived.payload).serial
        except FleetError:
            return
        serial = max((serial for _, serial in list(self._said.values())), default=remembered)
        if remembered > serial and not self._set_back:
            self._set_back = True
            log.error(
                "serial %d was announced at %s, and this folder is at %d: was an older copy put "
                "back? Devices that saw the newer one refuse it; see ml4iot-registry rotate --help",
                remembered,
                arrived.topic,
                serial,
            )

    def _not_wanted(self, error: BrokerError) -> None:
        if str(error) != self._refused:  # once is enough
            self._refused = str(error)
            log.warning("%s", error)
