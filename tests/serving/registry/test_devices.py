"""The fleet's last words: bounded, kept, and never brought down by what is no report."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.fleet.topics import Said
from serving.registry.devices import devices as module
from serving.registry.devices import reports_file
from serving.registry.devices.devices import Devices
from tests.serving.registry.fleet import (
    CHANNEL,
    MODEL,
    OLD,
    fleet_appears,
    model_report,
    says,
    status,
    usage_report,
)


@pytest.fixture
def devices(tmp_path):
    return Devices(tmp_path)


def test_the_last_word_counts(devices):
    fleet_appears(devices, "pi-1")
    says(devices, "pi-1", model_report("downloading", progress=0.5))
    assert devices.get("pi-1").models[MODEL].progress == 0.5
    assert devices.get("pi-1").online
    devices.take(Said("status", "pi-1", ""), status(online=False))
    assert not devices.get("pi-1").online
    assert devices.numbers() == (1, 0)


def test_only_those_on_the_channel_count_for_it(devices):
    fleet_appears(devices, "pi-1")
    says(devices, "pi-2", model_report(channel="canary"))
    says(devices, "pi-3", model_report(model="other"))
    assert list(devices.reports(MODEL, CHANNEL)) == ["pi-1"]


def test_all_of_it_outlives_the_registry(tmp_path):
    devices = Devices(tmp_path)
    devices.start()
    fleet_appears(devices, "pi-1", "pi-2")
    devices.take(Said("usage", "pi-1", MODEL), usage_report().serialise())
    devices.take(Said("model", "pi-2", MODEL), b"")  # taken back
    devices.close()
    again = Devices(tmp_path)
    assert again.get("pi-1") == devices.get("pi-1")
    assert again.get("pi-1").usage[MODEL].version == OLD
    assert again.get("pi-2").models == {}


def test_a_damaged_file_is_begun_anew(tmp_path):
    devices = Devices(tmp_path)
    fleet_appears(devices, "pi-1")
    devices.close()
    (tmp_path / module.FILE).write_bytes(b"no database " * 1000)
    again = Devices(tmp_path)
    assert again.numbers() == (0, 0)
    fleet_appears(again, "pi-2")
    again.close()
    assert Devices(tmp_path).numbers() == (1, 1)


def test_a_file_that_cannot_be_made_is_an_error(tmp_path):
    with pytest.raises(OSError, match="cannot be used"):
        Devices(tmp_path / "nowhere")


def test_a_file_that_is_only_in_use_is_not_begun_anew(tmp_path, monkeypatch):
    devices = Devices(tmp_path)
    fleet_appears(devices, "pi-1")
    devices.close()
    monkeypatch.setattr(reports_file, "_LOCKED_S", 0.1)
    with closing(sqlite3.connect(tmp_path / module.FILE)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OSError, match="locked"):
            Devices(tmp_path)
    assert Devices(tmp_path).numbers() == (1, 1)


def test_who_takes_all_back_is_forgotten(devices):
    fleet_appears(devices, "pi-1")
    for said in (Said("status", "pi-1", ""), Said("model", "pi-1", MODEL)):
        devices.take(said, b"")
    assert devices.get("pi-1") is None
    devices.take(Said("model", "pi-9", MODEL), b"")
    assert devices.get("pi-9") is None


def test_what_was_never_said_is_not_taken_back(devices):
    """Else every topic that a device makes up would be kept until the disk takes it."""
    fleet_appears(devices, "pi-1")
    heard = []
    devices.on_report(lambda: heard.append(1))
    for said in (Said("model", "pi-1", "another"), Said("usage", "pi-1", MODEL)):
        devices.take(said, b"")
    devices.take(Said("status", "pi-9", ""), b"")
    assert not heard


def test_no_more_than_can_be_kept(devices, monkeypatch):
    monkeypatch.setattr(module, "MAX_DEVICES", 2)
    monkeypatch.setattr(module, "MAX_MODELS", 1)
    fleet_appears(devices, "pi-1", "pi-2", "pi-3")
    assert devices.numbers() == (2, 2)
    assert devices.refused == 2
    says(devices, "pi-1", model_report(model="another"))
    assert list(devices.get("pi-1").models) == [MODEL]
    says(devices, "pi-1", model_report("downloading"))  # known ones are still heard
    assert devices.get("pi-1").models[MODEL].state == "downloading"


def test_a_report_under_the_topic_of_another_model_is_refused(devices):
    devices.take(Said("model", "pi-1", "other"), model_report().serialise())
    assert devices.get("pi-1") is None
    assert devices.refused == 1


kinds = st.sampled_from(["status", "model", "usage"])
payloads = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([status(), model_report().serialise(), usage_report().serialise()]),
    st.from_regex(r'\{"(online|model|state)": ?[^}]{0,40}\}', fullmatch=True).map(
        lambda text: text.encode("utf-8", "replace")
    ),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(kinds, payloads), max_size=10))
def test_nothing_that_arrives_raises(tmp_path_factory, messages):
    devices = Devices(tmp_path_factory.mktemp("state"))
    heard = []
    devices.on_report(lambda: heard.append(1))
    for kind, payload in messages:
        devices.take(Said(kind, "pi-1", "" if kind == "status" else MODEL), payload)
    said = sum(payload != b"" for _, payload in messages)  # an empty one may take back nothing
    assert said <= len(heard) + devices.refused <= len(messages)
    known = devices.get("pi-1")
    devices.close()
    assert known is None or known.to_json()["device"] == "pi-1"
