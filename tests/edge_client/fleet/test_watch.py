"""The device's service against a real broker and a registry that can vanish."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque

import pytest

from edge_client.errors import EdgeError
from edge_client.fleet.installed.slots import Slots
from edge_client.fleet.service import watch
from edge_client.fleet.service.systemd import Notifier
from edge_client.fleet.service.watch import Watch
from edge_client.fleet.use.in_use import ModelInUse, load_installed
from edge_client.fleet.use.probation import CRASHES, FIRST_USES
from edge_client.predictor import Latency
from tests.edge_client.fleet.installed import keyword_bundle, state
from tests.edge_client.fleet.service import (
    LIMIT_S,
    REPOSITORY,
    TOPICS,
    Listener,
    Mosquitto,
    service,
    with_broker,
)
from tests.edge_client.waiting import eventually


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def listener(broker):
    listener = Listener(broker)
    with listener.connection:
        yield listener


def gone(handler, _):
    """A registry that hangs up."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def proven(home, version):
    Slots(home, "tones").journal.change(lambda journal: journal.with_proven(version))


def test_from_the_announcement_to_the_active_version(repository, device, broker, listener):
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home) as process:
        first = listener.wait_for_report("active", "1")
        assert (first.wanted, first.previous, first.reason) == ("1", None, "")
        assert listener.status() is True
        topic = "homeassistant/sensor/pi-1/tones_version/config"
        listener.wait(lambda heard: heard.last(topic))
        found = json.loads(listener.last(topic))
        assert found["state_topic"] == TOPICS.model("pi-1", "tones")
        listener.forget()

        repository.offer("2")
        listener.announce("2")
        second = listener.wait_for_report("active", "2")
        states = [report.state for report in listener.reports()]
        assert [s for n, s in enumerate(states) if n == 0 or states[n - 1] != s] == [
            *("downloading", "verified", "testing", "active")
        ]
        assert (second.previous.version, second.wanted, second.failed) == ("1", "2", ())
        assert state(home, "tones") == ("2", "1", {})

        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
        listener.wait(lambda heard: heard.status() is False)
    assert "2 is active, instead of 1" in "".join(process.lines)
    assert process.lines[-1] == "ml4iot-edge: ended\n"


def test_an_announcement_is_only_a_hint(repository, served, device, broker, listener):
    """Lies, nonsense and other channels change nothing; what is signed counts."""
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home):
        listener.wait_for_report("active", "1")
        listener.announce("666", serial=2**60)
        listener.connection.publish(TOPICS.announcement("tones", "stable"), b"\xff\0{", 1)
        listener.announce("1", channel="canary")
        listener.announce("1", model="others")
        eventually(lambda: served.asked.count(("metadata/timestamp.json", None)) >= 2)
        repository.offer("2")
        listener.announce("2")
        listener.wait_for_report("active", "2")
    assert {report.wanted for report in listener.reports()} <= {None, "1", "2"}


def test_the_broker_is_restarted(repository, device, broker, listener):
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home) as process:
        listener.wait_for_report("active", "1")
        broker.stop()
        eventually(lambda: "is lost" in "".join(process.lines))
        repository.offer("2")
        listener.forget()
        broker.start()  # and knows nothing any more
        listener.wait(lambda heard: heard.status() is True and heard.reports())
        assert listener.reports()[-1].active.version == "1"
        listener.announce("2")
        listener.wait_for_report("active", "2")


def test_the_broker_comes_later(repository, device, tmp_path):
    broker = Mosquitto(tmp_path)
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home):
        eventually(lambda: state(home, "tones")[0] == "1")  # the first look needs no broker
        broker.start()
        try:
            listener = Listener(broker)
            with listener.connection:
                listener.wait_for_report("active", "1")
        finally:
            broker.stop()


def test_the_registry_vanishes_and_comes_back(repository, served, device, broker, listener):
    _, home = with_broker(device, broker)
    repository.offer("1")

    with service(home) as process:
        listener.wait_for_report("active", "1")
        place = repository.offer("2")
        served.answer["metadata/timestamp.json"] = gone
        listener.announce("2")
        eventually(lambda: "put off" in "".join(process.lines))
        assert state(home, "tones") == ("1", None, {})
        served.answer[place] = gone  # and once more, in the middle of it
        del served.answer["metadata/timestamp.json"]
        listener.wait(lambda heard: heard.reports()[-1].state == "idle")
        served.answer.clear()
        report = listener.wait_for_report("active", "2")
        assert report.reason == ""


def test_polling_without_a_broker(repository, device):
    _, home = with_broker(device, None, poll_s=1.0)
    repository.offer("1")
    with service(home):
        eventually(lambda: state(home, "tones")[0] == "1")
        repository.offer("2")
        eventually(lambda: state(home, "tones")[0] == "2")


def test_a_broker_whose_name_is_mistyped(device, tmp_path):
    enrolment, home = with_broker(device, Mosquitto(tmp_path))  # not started
    with service(home) as process:
        eventually(lambda: "is not there" in "".join(process.lines))
    assert f"broker {enrolment.broker.address}: is not there (Conn" in "".join(process.lines)


def test_a_log_that_cannot_be_written(repository, device):
    """Such as on a full disk: the models go on."""
    _, home = with_broker(device, None, poll_s=1.0)
    repository.offer("1")
    command = [sys.executable, "-m", "edge_client", "pull", "--watch", "--home", home.path]
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with (
        open("/dev/full", "w") as full,
        subprocess.Popen(command, cwd=REPOSITORY, stderr=full, env=usual) as process,
    ):
        try:
            eventually(lambda: state(home, "tones")[0] == "1")
            repository.offer("2")
            eventually(lambda: state(home, "tones")[0] == "2")
        finally:
            process.terminate()
        assert process.wait(LIMIT_S) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_service_that_cannot_update_any_more_ends(repository, device, monkeypatch):
    """Whoever starts it again helps; a watchdog that is fed does not."""

    def fail(_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(watch.Updater, "prepare", fail)
    monkeypatch.setattr(watch, "TICK_S", 0.05)
    repository.offer("1")
    with pytest.raises(EdgeError, match="start it again"):
        Watch(*with_broker(device, None), print).run(threading.Event())


def test_last_will_of_a_service_that_was_killed(repository, device, broker, listener):
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home) as process:
        listener.wait_for_report("active", "1")
        process.kill()
        listener.wait(lambda heard: heard.status() is False)
    with service(home):
        listener.wait(lambda heard: heard.status() is True)


def test_what_fails_in_its_self_test_is_refused_and_not_tried_again(
    repository, device, broker, listener
):
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home):
        listener.wait_for_report("active", "1")
        repository.offer("2", b"no bundle at all")
        listener.announce("2")
        report = listener.wait_for_report("refused", "1")
        assert (report.wanted, report.failed) == ("2", ("2",))
        assert report.reason.startswith("bundle: ")
        listener.forget()
        repository.offer("3")
        listener.announce("3")
        assert listener.wait_for_report("active", "3").failed == ()


DIES = """
import os, sys
from pathlib import Path
from edge_client.fleet.installed.home import Home
from edge_client.fleet.use.in_use import ModelInUse, load_installed
with ModelInUse(Home(Path(sys.argv[1])), "tones", load_installed, print) as use:
    use.started()
    os._exit(9)
"""


def test_what_crashes_in_use_is_rolled_back_and_told(repository, device, broker, listener):
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home) as process:
        listener.wait_for_report("active", "1")
        proven(home, "1")
        repository.offer("2")
        listener.announce("2")
        listener.wait_for_report("active", "2")
        listener.forget()
        done = subprocess.run(
            [sys.executable, "-c", DIES, home.path], cwd=REPOSITORY, timeout=LIMIT_S
        )
        assert done.returncode == 9
        report = listener.wait_for_report("rolled_back", "1")
        assert (report.wanted, report.previous, report.failed) == ("2", None, ("2",))
        assert report.reason.startswith("crash: ")
        # Announced again, it is not tried again.
        listener.announce("2", serial=2)
        time.sleep(0.5)
        assert listener.reports()[-1].state == "rolled_back"
        assert state(home, "tones") == ("1", None, {"2": "crash"})
    assert "1 again: crash" in "".join(process.lines)
    listener.forget()
    with service(home):  # a restart of the service forgets nothing
        assert listener.wait_for_report("rolled_back", "1").wanted == "2"


def test_what_keeps_crashing_is_rolled_back_and_told(repository, device, broker, listener):
    _, home = with_broker(device, broker)
    repository.offer("1")
    with service(home):
        listener.wait_for_report("active", "1")
        repository.offer("2")
        listener.announce("2")
        listener.wait_for_report("active", "2")
        proven(home, "2")
        journal = Slots(home, "tones").journal
        for before in range(CRASHES):
            eventually(lambda before=before: len(journal.read().crashes.at) == before)
            subprocess.run([sys.executable, "-c", DIES, home.path], cwd=REPOSITORY, timeout=LIMIT_S)
        report = listener.wait_for_report("rolled_back", "1")
        assert report.failed == ("2",)
        assert f"{CRASHES} times within an hour" in report.reason


def test_what_is_too_slow_in_use_is_rolled_back_and_told(repository, device, broker, listener):
    _, home = with_broker(device, broker)
    repository.offer("1")
    repository.push("2", keyword_bundle("2", total_ms=50.0))
    with service(home):
        listener.wait_for_report("active", "1")
        repository.point("2")
        listener.announce("2")
        listener.wait_for_report("active", "2")
        uses = [ModelInUse(home, "tones", load_installed, print) for _ in range(2)]
        for use in uses:  # each of them sees too little to judge
            for _ in range(FIRST_USES // 2):
                use.started()
                use.answered(Latency(0.0, 100.0, 100.0))
        report = listener.wait_for_report("rolled_back", "1")
        assert report.reason.startswith("latency: ")
        assert "total_ms" in report.reason
        assert all(use.follow() and use.version == "1" for use in uses)
        for use in uses:
            use.close()


@pytest.fixture
def running():
    """The service in a thread of this process."""
    threads = []
    stop = threading.Event()

    def run(enrolment, home, notifier=None):
        service = Watch(enrolment, home, print, notifier)
        threads.append(threading.Thread(target=service.run, args=(stop,)))
        threads[0].start()

    yield run
    stop.set()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_usage_is_reported(repository, device, broker, listener, running, monkeypatch):
    monkeypatch.setattr(watch, "USAGE_S", 0.2)
    monkeypatch.setattr(watch, "TICK_S", 0.1)
    repository.offer("1")
    enrolment, home = with_broker(device, broker)
    running(enrolment, home)
    listener.wait_for_report("active", "1")
    with ModelInUse(home, "tones", load_installed, print) as use:
        for ms in (1.0, 1.0, 1.0, 9.0):
            use.started()
            use.answered(Latency(0.0, ms, ms))
        listener.wait(lambda heard: heard.usages() and heard.usages()[-1].inferences == 4)
    usage = listener.usages()[-1]
    assert usage.version == "1"
    assert usage.latency_ms == pytest.approx({"p50": 1.0, "p95": 9.0, "p99": 9.0}, rel=0.05)


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(LIMIT_S)
        yield listening


def test_under_systemd(repository, device, manager):
    _, home = with_broker(device, None)
    repository.offer("1")
    environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname()}
    heard = []
    with service(home, environment) as process:
        while "READY=1" not in heard:
            heard.append(manager.recv(4096).decode())
        while not any("1 is active" in line for line in heard):
            heard.append(manager.recv(4096).decode())
        process.terminate()
        while "STOPPING=1" not in heard:
            heard.append(manager.recv(4096).decode())
        assert process.wait(LIMIT_S) == 0
    assert "WATCHDOG=1" in heard


def test_the_watchdog_is_not_fed_while_an_update_hangs(
    repository, served, device, manager, running, monkeypatch
):
    monkeypatch.setattr(watch, "TICK_S", 0.05)
    monkeypatch.setattr(watch, "STUCK_S", 0.5)
    hangs = threading.Event()

    def hang(handler, data):
        hangs.wait(LIMIT_S)
        gone(handler, data)

    served.answer["metadata/timestamp.json"] = hang
    enrolment, home = with_broker(device, None)
    running(enrolment, home, Notifier({"NOTIFY_SOCKET": manager.getsockname()}))
    manager.settimeout(1.5)
    heard = iter(lambda: manager.recv(4096), b"")
    with pytest.raises(TimeoutError):
        deque(heard, maxlen=0)
    hangs.set()
    manager.settimeout(LIMIT_S)
    while manager.recv(4096) != b"WATCHDOG=1":
        pass
