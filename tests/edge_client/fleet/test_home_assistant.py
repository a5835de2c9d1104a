from __future__ import annotations

import json

import pytest

from edge_client.fleet.errors import FleetError
from edge_client.fleet.home_assistant import discovery, model_version, quantity
from edge_client.fleet.topics import Topics

TOPICS = Topics("ml4iot")


def test_the_version_of_a_model():
    sensor = model_version("kws-a", "kitchen.pi", TOPICS)
    topic, payload = discovery(sensor, "kitchen.pi", TOPICS)
    assert topic == "homeassistant/sensor/kitchen_pi/kws-a_version/config"
    said = json.loads(payload)
    assert said["state_topic"] == TOPICS.model("kitchen.pi", "kws-a")
    assert said["availability_topic"] == TOPICS.status("kitchen.pi")
    assert said["device"]["identifiers"] == ["ml4iot_kitchen_pi"]
    assert said["device"]["name"] == "kitchen.pi"
    assert "active.version" in said["value_template"]


def test_measured_quantities_are_of_the_same_device():
    template = "{{ value_json[0].v }}"
    heat = quantity("temperature", "Cel", "t/1", template)
    damp = quantity("humidity", "%RH", "t/2", template)
    other = quantity("pressure", "hPa", "t/3", template)
    said = [json.loads(discovery(s, "pi", TOPICS, "ha")[1]) for s in (heat, damp, other)]
    assert [s.get("device_class") for s in said] == ["temperature", "humidity", None]
    assert [s["unit_of_measurement"] for s in said] == ["°C", "%", "hPa"]
    assert len({s["unique_id"] for s in said}) == 3
    assert len({json.dumps(s["device"]) for s in said}) == 1
    assert discovery(heat, "pi", TOPICS, "ha")[0] == "ha/sensor/pi/temperature/config"


@pytest.mark.parametrize("device", ["", "a/b", "#", "a b"])
def test_what_is_no_name_makes_no_topic(device):
    with pytest.raises(FleetError):
        discovery(quantity("temperature", "Cel", "t", "v"), device, TOPICS)
