"""A rollout as its operator sees it: the real service, Mosquitto, devices, and the command line."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from edge_client.fleet.channel import ChannelState
from edge_client.fleet.topics import Topics
from edge_client.mqtt.broker import Broker, BrokerAddress
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Subscription
from serving.broker import start_broker
from serving.registry.__main__ import main
from serving.registry.launcher import start_registry
from serving.registry.tokens import Tokens
from tests.serving.registry.fleet import (
    CHANNEL,
    MODEL,
    NEW,
    NEWER,
    OLD,
    make_folder,
    model_report,
    status,
)

LIMIT_S = 90
TOPICS = Topics()

pytestmark = pytest.mark.usefixtures("mosquitto")


class Pi:
    """A device that does what its channel offers once it hears of it, or fails at some versions."""

    def __init__(self, name: str, broker: Broker, url: str, fails: tuple[str, ...] = ()):
        self.name, self.url, self.fails = name, url, fails
        self.version = OLD
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._hints: queue.Queue = queue.Queue()
        announcements = [Subscription(TOPICS.announcement(MODEL, CHANNEL), 1)]
        self._connection = Connection(broker, name, announcements, self._hints.put, 8192)
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self):
        self._connection.__enter__()
        self._connection.publish(TOPICS.status(self.name), status(), 1, retain=True)
        self._say(model_report())
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._hints.put(None)
        self._thread.join()
        self._connection.__exit__(*error)

    def _live(self) -> None:
        while self._hints.get() is not None:
            offered = self._offered()
            if offered is None:
                continue
            wanted = offered.version_for(self.name)
            inside = offered.rollout is not None and offered.rollout.includes(self.name)
            by = offered.rollout.id if inside else None
            if wanted == self.version:
                self._say(model_report(active=wanted, rollout=by))
                continue
            self._say(model_report("downloading", self.version, wanted=wanted, rollout=by))
            assert self.may_go_on.wait(LIMIT_S)
            if wanted in self.fails:
                failed = {"state": "rolled_back", "failed": (wanted,), "reason": "crash"}
                self._say(model_report(active=self.version, wanted=wanted, rollout=by, **failed))
            else:
                self.version = wanted
                self._say(model_report(active=wanted, rollout=by))

    def _offered(self) -> ChannelState | None:
        """As the registry says; a real device believes the signed metadata only."""
        try:
            model = httpx.get(f"{self.url}/models/{MODEL}", timeout=LIMIT_S).json()
        except httpx.HTTPError:
            return None  # it is announced again when the registry is back
        (channel,) = (each for each in model["channels"] if each["channel"] == CHANNEL)
        return ChannelState.parse(json.dumps(channel | {"model": MODEL}).encode())

    def _say(self, report) -> None:
        topic = TOPICS.model(self.name, MODEL)
        assert self._connection.publish(topic, report.serialise(), 1, retain=True)


class Operator:
    """Somebody with a token at a terminal."""

    def __init__(self, url: str, token_file: Path, capsys):
        self.capsys = capsys
        self.flags = ["--registry", url, "--token-file", str(token_file)]

    def __call__(self, *arguments: str) -> str:
        assert main([*arguments, *self.flags]) == 0
        return self.capsys.readouterr().out

    def following(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "serving.registry", *arguments, "--follow", *self.flags]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def start_of(version: str, *more: str) -> list[str]:
    groups = ["--group", "canary=pi-0,pi-1", "--group", "half=0.5"]
    asked = ["--success", "1", "--errors", "0.1", "--patience", "600"]
    return ["rollout", "start", MODEL, version, "--channel", CHANNEL, *groups, *asked, *more]


def test_a_rollout_that_is_killed_in_the_middle_and_one_that_is_taken_back(tmp_path, stack, capsys):
    options = make_folder(tmp_path / "folder")
    token = tmp_path / "token"
    token.write_text(Tokens(options.folder).add("olga", "operate"))
    broker = stack.enter_context(start_broker(backend="mosquitto"))
    at = Broker(BrokerAddress("127.0.0.1", broker.port))
    options = replace(options, port=0, broker=at, log_file=tmp_path / "log")
    first = stack.enter_context(ExitStack())
    registry = first.enter_context(start_registry(options))
    port = int(registry.url.rpartition(":")[2])
    pis = [
        stack.enter_context(Pi(f"pi-{n}", at, registry.url, (NEWER,) if n == 1 else ()))
        for n in range(5)
    ]
    operator = Operator(registry.url, token, capsys)

    # The second canary takes its time; meanwhile the registry is killed.
    pis[1].may_go_on.clear()
    following = operator.following(*start_of(NEW))
    assert following.stdout.readline().startswith("rollout ")
    assert "started by olga" in following.stdout.readline()
    operator_sees(operator, "pi-0", NEW)
    os.kill(registry.process.pid, signal.SIGKILL)
    registry.process.wait()
    pis[1].may_go_on.set()
    first.close()
    stack.enter_context(start_registry(replace(options, port=port)))
    told = following.communicate(timeout=LIMIT_S)[0]
    assert following.returncode == 0
    assert [line.split()[1] for line in told.splitlines()] == ["advanced", "advanced", "finished"]
    assert [pi.version for pi in pis] == [NEW] * 5
    assert f"{OLD} → {NEW}" in operator("rollout", "show")
    listed = operator("devices")
    assert all(pi.name in listed for pi in pis) and listed.count("online") == len(pis)
    assert NEW in operator("devices", "pi-3") and OLD not in operator("devices", "pi-3")

    # And one that a canary does not survive.
    following = operator.following(*start_of(NEWER))
    told = following.communicate(timeout=LIMIT_S)[0]
    assert following.returncode == 1
    assert "reverted by registry in group canary: 1 of 2 devices" in told.splitlines()[-1]
    for pi in (pis[0], pis[1]):
        operator_sees(operator, pi.name, NEW)
    assert all(pi.version == NEW for pi in pis[1:])
    model = httpx.get(f"{registry.url}/models/{MODEL}").json()
    assert [(each["version"], each["rollout"]) for each in model["channels"]] == [(NEW, None)]

    # Held, let go and called off by hand.
    rollout = operator(*start_of(OLD)).split()[1]
    assert operator("rollout", "pause", rollout) == f"rollout {rollout} is paused\n"
    assert "paused by olga" in operator("rollout", "show", rollout)
    assert operator("rollout", "resume", rollout) == f"rollout {rollout} is running\n"
    assert operator("rollout", "abort", rollout) == f"rollout {rollout} is aborted\n"


def operator_sees(operator: Operator, device: str, version: str) -> None:
    """Waits until the registry has heard that a device runs a version."""
    url = f"{operator.flags[1]}/devices/{device}"
    for _ in range(LIMIT_S * 20):
        answer = httpx.get(url)
        if answer.status_code == 200:
            report = answer.json()["models"][0]
            if report["state"] == "active" and report["active"]["version"] == version:
                return
        threading.Event().wait(0.05)
    pytest.fail(f"{device} never said that it runs {version}")


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("canary", "NAME=DEVICE,DEVICE or NAME=SHARE"),
        ("=pi-1", "NAME=DEVICE,DEVICE or NAME=SHARE"),
        ("canary=pi-1,", "NAME=DEVICE,DEVICE or NAME=SHARE"),
        ("../x=0.5", "NAME=DEVICE,DEVICE or NAME=SHARE"),
    ],
)
def test_a_group_that_is_none_costs_one_line(capsys, group, says):
    wrong = ["rollout", "start", MODEL, NEW, "--channel", CHANNEL, "--group", group]
    with pytest.raises(SystemExit) as end:
        main([*wrong, "--token-file", "token"])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1


def test_a_registry_that_is_not_there_costs_one_line(capsys):
    for command in (["rollout", "show"], ["rollout", "show", "x", "--follow"], ["devices"]):
        assert main([*command, "--registry", "http://127.0.0.1:9"]) == 2
        told = capsys.readouterr().err
        assert "is it running?" in told and told.count("\n") == 1
