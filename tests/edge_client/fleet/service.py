"""``ml4iot-edge pull --watch`` as a process, a broker that can be restarted, and who listens."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge_client.fleet.enrolment import EnrolledBroker, write_enrolment
from edge_client.fleet.report import DeviceStatus, ModelReport, UsageReport
from edge_client.fleet.topics import Topics
from edge_client.mqtt.broker import open_broker
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Subscription
from serving.options import bind

REPOSITORY = Path(__file__).resolve().parents[3]
LIMIT_S = 30
TOPICS = Topics()


class Mosquitto:
    """A broker on a free port that keeps nothing when it is stopped."""

    def __init__(self, folder):
        with bind("127.0.0.1", 0) as probe:
            self.port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", self._file], stderr=subprocess.DEVNULL
        )

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)
            self._process = None


class Listener:
    """All that is said on a broker."""

    def __init__(self, broker):
        self._changed = threading.Condition()
        self.said = []
        self.connection = Connection(
            open_broker(broker.address),
            "listener",
            [Subscription("ml4iot/#", 1), Subscription("homeassistant/#", 1)],
            self._hear,
            100_000,
            patient=True,
        )

    def _hear(self, arrived):
        with self._changed:
            self.said.append(arrived)
            self._changed.notify_all()

    def wait(self, holds):
        """Until it holds for what was said."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self), LIMIT_S), self.said[-5:]

    def last(self, topic):
        return next((a.payload for a in reversed(self.said) if a.topic == topic), None)

    def status(self, device="pi-1"):
        payload = self.last(TOPICS.status(device))
        return None if payload is None else DeviceStatus.parse(payload).online

    def reports(self, device="pi-1", model="tones"):
        topic = TOPICS.model(device, model)
        return [ModelReport.parse(a.payload) for a in self.said if a.topic == topic]

    def usages(self, device="pi-1", model="tones"):
        topic = TOPICS.usage(device, model)
        return [UsageReport.parse(a.payload) for a in self.said if a.topic == topic]

    def forget(self):
        with self._changed:
            self.said.clear()

    def wait_for_report(self, state, version):
        """The first report of this state with this version active."""

        def found(_):
            return [
                report
                for report in self.reports()
                if report.state == state and report.active and report.active.version == version
            ]

        self.wait(found)
        return found(None)[0]

    def announce(self, version, serial=1, model="tones", channel="stable"):
        payload = json.dumps({"version": version, "serial": serial}).encode()
        self.connection.publish(TOPICS.announcement(model, channel), payload, 1, retain=True)


def with_broker(device, broker, poll_s=86_400.0):
    """The device's enrolment with a broker, and asking by itself as seldom as may be."""
    enrolment, home = device
    where = None if broker is None else EnrolledBroker(broker.address)
    enrolment = replace(enrolment, broker=where, poll_s=poll_s)
    write_enrolment(home, enrolment, home.root)
    return enrolment, home


@contextmanager
def service(home, environment=None):
    """The process; its lines are in ``lines``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_client", "pull", "--watch", "--home", str(home.path)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    process.lines = []
    reading = threading.Thread(target=lambda: process.lines.extend(process.stderr))
    reading.start()
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(LIMIT_S)
        finally:
            process.kill()
            reading.join(LIMIT_S)
            process.stderr.close()
            print(*process.lines, sep="")
