"""The registry at a real broker: announcements that are retained, reports that are heard."""

from __future__ import annotations

import json
import queue
import socket
from contextlib import closing

import pytest

from edge_client.fleet.topics import Said, Topics
from edge_client.mqtt.broker import Broker, BrokerAddress
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Subscription
from serving.broker import start_broker
from serving.registry.devices.announcer import Announcer
from serving.registry.devices.devices import Devices
from tests.edge_client.waiting import eventually
from tests.serving.registry.fleet import MODEL, fleet_appears, model_report, status, usage_report

LIMIT_S = 60
TOPICS = Topics()

pytestmark = pytest.mark.usefixtures("mosquitto")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return free.getsockname()[1]


def at(port: int) -> Broker:
    return Broker(BrokerAddress("127.0.0.1", port))


class Listener:
    """A client that hears what is announced."""

    def __init__(self, port: int):
        self.heard: queue.Queue = queue.Queue()
        self.connection = Connection(
            at(port), "test", [Subscription(TOPICS.all_announcements, 1)], self.heard.put, 8192
        )

    def __enter__(self):
        self.connection.__enter__()
        return self

    def __exit__(self, *error):
        self.connection.__exit__(*error)

    def next(self):
        arrived = self.heard.get(timeout=LIMIT_S)
        return arrived.topic, json.loads(arrived.payload), arrived.retained


@pytest.fixture
def devices(tmp_path):
    return Devices(tmp_path)


def announcer(port: int | None, devices: Devices) -> Announcer:
    return Announcer(None if port is None else at(port), TOPICS, devices)


def test_what_is_announced_is_heard_at_once_and_by_who_comes_later(devices):
    with start_broker(backend="mosquitto") as broker, Listener(broker.port) as early:
        said = announcer(broker.port, devices)
        said.start()
        try:
            said.announce(MODEL, "stable", "1.0", 7)
            expected = (TOPICS.announcement(MODEL, "stable"), {"version": "1.0", "serial": 7})
            assert early.next() == (*expected, False)
            with Listener(broker.port) as late:
                assert late.next() == (*expected, True)
            said.announce(MODEL, "stable", "0.9", 6)  # overtaken on its way here
            said.announce(MODEL, "stable", None, 8)
            assert early.next()[1] == {"version": None, "serial": 8}
        finally:
            said.close()


def test_a_broker_that_comes_late_or_forgets_is_told_everything(devices):
    port = free_port()
    said = announcer(port, devices)
    said.announce(MODEL, "stable", "1.0", 1)
    said.start()  # nobody is there
    try:
        said.announce(MODEL, "stable", "2.0", 2)
        for serial in (2, 3):  # the second broker knows nothing of the first
            with start_broker(port, backend="mosquitto"), Listener(port) as listener:
                assert listener.next()[1] == {"version": "2.0", "serial": serial}
                eventually(lambda: said.ready)
                said.announce(MODEL, "canary", "2.0", 9)
                assert listener.next()[0] == TOPICS.announcement(MODEL, "canary")
            eventually(lambda: not said.ready)
            said.announce(MODEL, "stable", "2.0", 3)
    finally:
        said.close()


def test_a_folder_that_was_set_back_is_told(devices, caplog):
    """The broker remembers what the registry announced before an older copy was put back."""
    with start_broker(backend="mosquitto") as broker, Listener(broker.port) as listener:
        for serial in (9, 9, 7):
            caplog.clear()
            said = announcer(broker.port, devices)
            said.announce(MODEL, "stable", "1.0", serial)
            said.start()
            try:
                assert listener.next()[1]["serial"] == serial
                # Answered after all that the broker had retained for us.
                listener.connection.publish(TOPICS.status(f"pi-{serial}"), status(), 1)
                eventually(lambda name=f"pi-{serial}": devices.get(name))
            finally:
                said.close()
            assert ("an older copy" in caplog.text) is (serial == 7)


def test_devices_are_heard_also_those_that_spoke_before(devices):
    with start_broker(backend="mosquitto") as broker:
        pi = Connection(at(broker.port), "pi-1", [], lambda arrived: None, 1)
        with pi:
            pi.publish(TOPICS.status("pi-1"), status(), 1, retain=True)
            pi.publish(TOPICS.model("pi-1", MODEL), model_report().serialise(), 1, retain=True)
            assert pi.flush(LIMIT_S)
            said = announcer(broker.port, devices)
            said.start()
            try:
                eventually(lambda: (d := devices.get("pi-1")) and d.online and d.models)
                pi.publish(TOPICS.model("pi-1", MODEL), b"no report", 1)
                pi.publish(TOPICS.usage("pi-1", MODEL), usage_report().serialise(), 1)
                pi.publish(TOPICS.status("pi-1"), status(online=False), 1, retain=True)
                eventually(lambda: not devices.get("pi-1").online)
                assert devices.get("pi-1").usage[MODEL].inferences == 10
                assert devices.refused == 1
            finally:
                said.close()


def test_a_fleet_larger_than_a_broker_queues_for_one_client_is_heard_whole(devices):
    names = [f"pi-{number}" for number in range(1500)]
    with start_broker(backend="mosquitto") as broker:
        with Connection(at(broker.port), "fleet", [], lambda arrived: None, 1) as fleet:
            for name in names:
                topic, payload = TOPICS.model(name, MODEL), model_report().serialise()
                eventually(lambda t=topic, p=payload: fleet.publish(t, p, 1, retain=True))
            assert fleet.flush(LIMIT_S)
        said = announcer(broker.port, devices)
        said.start()
        try:
            eventually(lambda: devices.numbers()[0] == len(names))
        finally:
            said.close()


def test_a_fleet_is_told_to_spread_what_it_asks(devices):
    """Those that are there and follow the channel; one alone need not wait for anybody."""
    for number in range(301):
        fleet_appears(devices, f"pi-{number}")
    fleet_appears(devices, "gone")
    devices.take(Said("status", "gone", ""), status(online=False))
    with start_broker(backend="mosquitto") as broker, Listener(broker.port) as listener:
        said = announcer(broker.port, devices)
        said.start()
        try:
            said.announce(MODEL, "stable", "1.0", 1)
            assert listener.next()[1] == {"version": "1.0", "serial": 1, "spread_s": 5.0}
            said.announce(MODEL, "canary", "1.0", 1)
            assert listener.next()[1] == {"version": "1.0", "serial": 1}
        finally:
            said.close()


def test_without_a_broker_nothing_happens(devices):
    said = announcer(None, devices)
    said.start()
    said.announce(MODEL, "stable", "1.0", 1)
    assert not said.ready
    said.close()
