"""What rights come to, without a broker: Mosquitto's file, and the embedded broker's answers."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edge_client.fleet.home_assistant import discovery, model_version
from edge_client.fleet.topics import Topics
from edge_client.monitor.topics import MonitorTopics
from serving.broker.passwords import hashed, matches, new_password
from serving.broker.rights import _covers, acl, allows
from serving.broker.users import User

KITCHEN = User("kitchen", "device", "")
VOICE = User("voice", "device", "", cooperates=True)
ANNA = User("anna", "reader", "")
REGISTRY = User("registry", "registry", "")


def test_mosquittos_file_is_made_of_the_users():
    lines = acl([ANNA, KITCHEN, REGISTRY, VOICE]).splitlines()
    assert [line for line in lines if line.startswith("user ")] == [
        "user anna",
        "user kitchen",
        "user registry",
        "user voice",
    ]
    assert not [line for line in lines if line.startswith(("pattern", "topic readwrite #"))]
    kitchen = lines[lines.index("user kitchen") + 1 : lines.index("user registry") - 1]
    assert kitchen == [
        "topic readwrite ml4iot/devices/kitchen/#",
        "topic read ml4iot/models/#",
        "topic write homeassistant/+/kitchen/#",
        "topic read homeassistant/status",
    ]
    assert "topic write ml4iot/node/voice" in lines[lines.index("user voice") :]


@pytest.mark.parametrize(
    ("user", "access", "topics", "allowed"),
    [
        (KITCHEN, "write", "ml4iot/devices/kitchen/status", True),
        (KITCHEN, "read", "ml4iot/devices/kitchen/#", True),
        (KITCHEN, "write", "homeassistant/sensor/kitchen/t/config", True),
        (KITCHEN, "read", "ml4iot/models/+/stable", True),
        (KITCHEN, "write", "ml4iot/models/kws/stable", False),
        (KITCHEN, "write", "ml4iot/devices/hall/status", False),
        (KITCHEN, "write", "ml4iot/devices/kitchen2/status", False),
        (KITCHEN, "read", "ml4iot/devices/+/status", False),
        (KITCHEN, "read", "ml4iot/#", False),
        (KITCHEN, "read", "#", False),
        (KITCHEN, "write", "ml4iot/audio/1", False),
        (VOICE, "write", "ml4iot/audio/1", True),
        (VOICE, "write", "ml4iot/node/voice", True),
        (VOICE, "write", "ml4iot/node/kitchen", False),
        (ANNA, "read", "ml4iot/devices/+/alarms/+", True),
        (ANNA, "write", "ml4iot/devices/kitchen/status", False),
        (ANNA, "write", "ml4iot/devices/anna/status", False),
        (REGISTRY, "read", "ml4iot/devices/+/models/+", True),
        (REGISTRY, "write", "ml4iot/models/kws/stable", True),
        (REGISTRY, "write", "ml4iot/devices/kitchen/status", False),
    ],
)
def test_the_embedded_broker_keeps_to_the_same(user, access, topics, allowed):
    assert allows(user, access, topics) is allowed


@pytest.mark.parametrize("name", ["kitchen", "pi.4-a_b", "7"])
def test_the_rights_suffice_for_what_devices_and_the_registry_say(name):
    device, topics = User(name, "device", ""), Topics()
    monitor = MonitorTopics(topics, name)
    configuration, _ = discovery(model_version("kws.a", name, topics), name, topics)
    for topic in (
        topics.status(name),
        topics.model(name, "kws.a"),
        topics.usage(name, "kws.a"),
        topics.alarm(name, "temperature"),
        monitor.alarm("humidity"),
        monitor.reading,
        monitor.presence,
        configuration,
    ):
        assert allows(device, "write", topic)
        assert allows(ANNA, "read", topic)
        assert not allows(VOICE, "write", topic)
        assert not allows(VOICE, "read", topic)
    for heard in topics.all_devices:
        assert allows(REGISTRY, "read", heard)
    announced = topics.announcement("kws.a", "stable")
    assert allows(device, "read", announced) and allows(REGISTRY, "write", announced)


levels = st.sampled_from(["a", "b", "", "ab"])
topics = st.lists(levels, min_size=1, max_size=4).map("/".join)
filters = st.tuples(
    st.lists(st.one_of(levels, st.just("+")), max_size=4), st.sampled_from([[], ["#"]])
).map(lambda parts: "/".join(parts[0] + parts[1]))


@given(filters.filter(bool), topics)
@example("a/#", "a")
def test_a_topic_is_covered_where_a_filter_matches_it(allowed, topic):
    assert _covers(allowed, topic) == topic_matches_sub(allowed, topic)


@given(filters.filter(bool), filters.filter(bool), topics)
def test_a_covered_filter_matches_nothing_else(allowed, asked, topic):
    if _covers(allowed, asked) and topic_matches_sub(asked, topic):
        assert topic_matches_sub(allowed, topic)


def test_passwords_are_kept_as_mosquitto_keeps_them():
    of_mosquitto_passwd = (
        "$7$101$5bjWEIr6osCnG7mn$7epV4kSFRzmhpt731Dlvs9Oc+uvHIkj6Orr9HYIn3WOzJY3HU3W2jiIJdSpoZdijT"
        "Lx3u+8J6mGrFYKoQp4mLQ=="
    )
    assert matches("correct horse", of_mosquitto_passwd)
    assert not matches("correct hors", of_mosquitto_passwd)
    password = new_password()
    kept = hashed(password)
    assert len(kept) == len(of_mosquitto_passwd)
    assert matches(password, kept)
    assert hashed(password) != kept  # salted
    assert len({new_password() for _ in range(100)}) == 100


@given(st.text())
def test_what_is_no_hash_lets_nobody_in(kept):
    assert not matches("", kept)
