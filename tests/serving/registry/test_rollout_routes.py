"""Rollouts, devices and measurements over HTTP: who may do what, and what comes back."""

from __future__ import annotations

import asyncio
import shutil

import httpx
import pytest

from edge_client.fleet.topics import Said
from edge_client.measurement import Machine, Measurement
from serving.registry.devices import measurements as kept
from serving.registry.http.app import create_app
from serving.registry.options import RegistryOptions
from serving.registry.registry import open_registry
from tests.serving.registry.fleet import (
    CHANNEL,
    MODEL,
    NEW,
    NEWER,
    OLD,
    SINCE,
    fleet_appears,
    follow,
    make_folder,
    usage_report,
)

START = f"/models/{MODEL}/channels/{CHANNEL}/rollouts"
NAMES = ("pi-1", "pi-2", "pi-3")
SHA256 = "ab" * 32


class Caller:
    """A client with the tokens of everybody."""

    def __init__(self, options):
        self.registry = open_registry(options)
        fleet_appears(self.registry.devices, *NAMES)
        tokens = self.registry.tokens
        holders = (("olga", "operate"), ("ci", "push"), ("pi-1", "device"), ("pi-2", "device"))
        self.tokens = {name: tokens.add(name, role) for name, role in holders}
        self.app = create_app(self.registry)

    def __call__(self, method, path, by="", body=None):
        headers = {"Authorization": f"Bearer {self.tokens[by]}"} if by else {}

        async def exchange():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, path, json=body, headers=headers)

        return asyncio.run(exchange())


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A registry's folder, made once: its keys take their time."""
    return make_folder(tmp_path_factory.mktemp("registry") / "folder")


@pytest.fixture
def call(template, tmp_path):
    shutil.copytree(template.folder, tmp_path / "folder")
    return Caller(RegistryOptions(tmp_path / "folder"))


def wanted(**changes):
    body = {
        "version": NEW,
        "groups": [{"name": "canary", "devices": ["pi-1"]}, {"name": "half", "share": 0.5}],
        "success": 1.0,
        "errors": 0.0,
    }
    return body | changes


def test_a_rollout_from_its_start_to_its_end(call):
    begun = call("POST", START, "olga", wanted())
    assert begun.status_code == 201
    rollout = begun.json()
    assert rollout["status"] == "running" and rollout["before"] == OLD
    assert [group["name"] for group in rollout["groups"]] == ["canary", "half", "rest"]
    assert [group["reached"] for group in rollout["groups"]] == [True, False, False]
    assert sum(group["counts"]["members"] for group in rollout["groups"]) == len(NAMES)

    path = f"/rollouts/{rollout['id']}"
    assert call("POST", f"{path}/pause", "olga").json()["status"] == "paused"
    again = call("POST", f"{path}/pause", "olga")
    assert again.status_code == 409 and "paused" in again.json()["error"]
    assert call("POST", f"{path}/resume", "olga").json()["status"] == "running"

    follow(call.registry, "pi-1")
    call.registry.rollouts.look()
    shown = call("GET", path).json()
    assert shown["reached"] == 1
    assert shown["groups"][0]["counts"]["active"] == 1
    assert [event["what"] for event in shown["history"]] == [
        "started",
        "paused",
        "resumed",
        "advanced",
    ]
    assert call("POST", f"{path}/abort", "olga").json()["status"] == "aborted"
    assert call("GET", "/rollouts").json()["rollouts"][0]["status"] == "aborted"
    assert call.registry.store.channel(MODEL, CHANNEL).version == OLD


def test_another_on_the_same_channel_is_refused(call):
    assert call("POST", START, "olga", wanted()).status_code == 201
    refused = call("POST", START, "olga", wanted(version=NEWER))
    assert refused.status_code == 409 and "is on its way" in refused.json()["error"]


@pytest.mark.parametrize(("by", "status"), [("", 401), ("ci", 403), ("pi-1", 403)])
def test_only_operators_roll_out(call, by, status):
    assert call("POST", START, by, wanted()).status_code == status
    rollout = call("POST", START, "olga", wanted()).json()["id"]
    for action in ("pause", "resume", "abort"):
        assert call("POST", f"/rollouts/{rollout}/{action}", by).status_code == status
    assert call("GET", f"/rollouts/{rollout}").json()["status"] == "running"


@pytest.mark.parametrize(
    "body",
    [
        {},
        wanted(groups=[]),
        wanted(groups=[{"name": "canary", "devices": []}]),
        wanted(groups=[{"name": "canary", "devices": ["../pi"]}]),
        wanted(groups=[{"name": "both", "devices": ["pi-1"], "share": 0.5}]),
        wanted(groups=[{"name": "half", "share": 0.5}, {"name": "tenth", "share": 0.1}]),
        wanted(groups=[{"name": "a", "devices": ["pi-1"]}, {"name": "b", "devices": ["pi-1"]}]),
        wanted(groups=[{"name": "a", "devices": ["pi-1", "pi-1"]}]),
        wanted(groups=[{"name": "a", "share": 0.1}, {"name": "a", "share": 0.5}]),
        wanted(groups=[{"name": "rest", "share": 0.1}]),
        wanted(groups=[{"name": "all", "share": 1.5}]),
        wanted(success=1.1),
        wanted(errors=-0.1),
        wanted(minimum=2),  # of a group of one
        wanted(minimum=0),
        wanted(patience_s=0),
        wanted(patience_s="60"),
        wanted(unknown=1),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(call, body):
    refused = call("POST", START, "olga", body)
    assert refused.status_code == 400
    assert list(refused.json()) == ["error"] and "\n" not in refused.json()["error"]
    assert call("GET", "/rollouts").json() == {"rollouts": []}


def test_what_is_not_there_is_404(call):
    assert call("POST", START, "olga", wanted(version="9.9")).status_code == 404
    assert call("POST", "/models/x/channels/y/rollouts", "olga", wanted()).status_code == 404
    assert call("GET", "/rollouts/none").status_code == 404
    assert call("POST", "/rollouts/none/abort", "olga").status_code == 404
    assert call("GET", "/devices/none").status_code == 404


def test_devices_come_by_the_page(call):
    first = call("GET", "/devices?limit=2").json()
    assert [each["device"] for each in first["devices"]] == ["pi-1", "pi-2"]
    last = call("GET", f"/devices?limit=2&after={first['next']}").json()
    assert [each["device"] for each in last["devices"]] == ["pi-3"] and last["next"] is None
    assert call("GET", "/devices?limit=0").status_code == 400


def test_a_device_is_shown_with_all_it_said(call):
    call.registry.devices.take(Said("usage", "pi-1", MODEL), usage_report().serialise())
    shown = call("GET", "/devices/pi-1").json()
    assert shown["online"] and shown["status"]["client"] == "ml4iot-edge 0.1.0"
    assert shown["models"][0]["active"]["version"] == OLD
    assert shown["usage"][0]["inferences"] == 10


def test_metrics_count_the_fleet(call):
    call("POST", START, "olga", wanted())
    text = call("GET", "/metrics").text
    assert "ml4iot_registry_devices_online 3.0" in text
    assert 'ml4iot_registry_rollouts{status="running"} 1.0' in text


def measured(device="pi-1", sha256=SHA256, total_ms=2.0, **changes):
    values = Measurement(
        device,
        MODEL,
        NEW,
        sha256,
        SINCE,
        1.5,
        0.5,
        total_ms,
        500,
        40.5,
        Machine("aarch64", "Raspberry Pi 4 Model B Rev 1.4", "Linux 6.12", 4),
    ).to_json()
    return values | changes


KEPT = f"/models/{MODEL}/versions/{NEW}/measurements"


def test_the_last_measurement_of_a_device_and_model_file_is_kept(call):
    path = "/devices/pi-1/measurements"
    assert call("POST", path, "pi-1", measured(total_ms=9)).status_code == 201
    assert call("POST", path, "pi-1", measured(total_ms=3)).status_code == 201
    assert call("POST", path, "pi-1", measured(sha256="cd" * 32)).status_code == 201
    assert call("POST", "/devices/pi-2/measurements", "olga", measured("pi-2")).status_code == 201
    found = [Measurement.of(each) for each in call("GET", KEPT).json()["measurements"]]
    assert [(each.device, each.model_sha256[:2], each.total_ms) for each in found] == [
        ("pi-1", "ab", 3),
        ("pi-1", "cd", 2),
        ("pi-2", "ab", 2),
    ]
    other = measured("pi-2", version=OLD)
    assert call("POST", "/devices/pi-2/measurements", "pi-2", other).status_code == 201
    of_all = call("GET", f"/models/{MODEL}/measurements").json()["measurements"]
    assert sorted(each["version"] for each in of_all) == [OLD, NEW, NEW, NEW]
    # Of a registry that starts again, too; and of a version that nobody pushed.
    again = open_registry(call.registry.options)
    assert again.measurements.of(MODEL, NEW) == found
    unknown = call("GET", f"/models/{MODEL}/versions/9.9/measurements")
    assert unknown.json() == {"measurements": []}


@pytest.mark.parametrize(
    ("by", "body", "status"),
    [
        ("", measured(), 401),
        ("ci", measured(), 403),
        ("pi-2", measured(), 403),
        ("pi-1", measured("pi-2"), 403),
        ("pi-1", measured(runs=0), 400),
        ("pi-1", measured(total_ms=-1), 400),
        ("pi-1", measured(total_ms="2"), 400),
        ("pi-1", measured(measured_at="2026-02-30T12:00:00Z"), 400),
        ("pi-1", measured(version="../../1"), 400),
        ("pi-1", measured(model_sha256="ab"), 400),
        ("pi-1", measured(more=1), 400),
        ("pi-1", measured(machine={}), 400),
    ],
)
def test_a_measurement_of_another_or_of_nothing_is_refused(call, by, body, status):
    refused = call("POST", "/devices/pi-1/measurements", by, body)
    assert refused.status_code == status
    assert list(refused.json()) == ["error"]
    assert call("GET", KEPT).json() == {"measurements": []}


def send(call, device, **changes):
    path = f"/devices/{device}/measurements"
    return call("POST", path, "olga", measured(device, **changes))


def test_a_device_that_measures_very_much_loses_its_own_alone(call, monkeypatch):
    monkeypatch.setattr(kept, "MAX_OF_DEVICE", 2)
    assert send(call, "pi-2").status_code == 201
    for number in range(3):
        # Whatever its clock says, and whatever it calls them.
        version, moment = f"{number}.9", f"20{60 - number}-01-01T00:00:00Z"
        sent = send(call, "pi-1", sha256=f"{number:064x}", version=version, measured_at=moment)
        assert sent.status_code == 201
    for registry in (call.registry, open_registry(call.registry.options)):
        found = registry.measurements.of_model(MODEL)
        assert [(each.device, each.version) for each in found] == [
            ("pi-2", NEW),
            ("pi-1", "2.9"),
            ("pi-1", "1.9"),
        ]
    assert call("GET", KEPT).json()["measurements"] == [measured("pi-2")]


def test_an_answer_has_the_last_word_of_every_device_before_the_earlier_ones_of_any(
    call, monkeypatch
):
    monkeypatch.setattr(kept, "MAX_ANSWER", 3)
    for device in ("pi-1", "pi-2"):
        for number in range(3):
            moment = f"20{30 + number}-01-01T00:00:00Z" if device == "pi-1" else SINCE
            send(call, device, sha256=f"{number:064x}", measured_at=moment)
    for path in (KEPT, f"/models/{MODEL}/measurements"):
        found = call("GET", path).json()["measurements"]
        assert [(each["device"], int(each["model_sha256"], 16)) for each in found] == [
            ("pi-2", 2),
            ("pi-1", 1),
            ("pi-1", 2),
        ]


def test_measurements_of_so_many_devices_are_kept(call, monkeypatch):
    monkeypatch.setattr(kept, "MAX_DEVICES", 1)
    assert send(call, "pi-1").status_code == 201
    answer = send(call, "pi-2")
    assert answer.status_code == 409
    assert send(call, "pi-1", version="3.0").status_code == 201
    (file,) = (call.registry.options.folder / "state/measurements").iterdir()
    assert f"state/{file.parent.name}" in answer.json()["error"]
    file.unlink()
    assert send(call, "pi-2").status_code == 201


@pytest.mark.parametrize("content", ["", "[]", '{"measurements": [{}]}', '{"measurements": 7}'])
def test_a_damaged_file_of_measurements_costs_that_device_alone(call, content):
    send(call, "pi-1")
    send(call, "pi-2")
    (call.registry.options.folder / "state/measurements/pi-1.json").write_text(content)
    again = open_registry(call.registry.options).measurements
    assert [each.device for each in again.of(MODEL, NEW)] == ["pi-2"]
    again.add(Measurement.of(measured("pi-1")))
    assert [each.device for each in again.of(MODEL, NEW)] == ["pi-1", "pi-2"]
