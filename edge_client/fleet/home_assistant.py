"""What lets Home Assistant find a device's sensors by itself: its MQTT discovery.

A configuration is retained at ``homeassistant/sensor/<device>/<object>/config``; the sensor then
reads its value from a topic of ours and is shown as gone while the device's status says so
(https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edge_client.fleet.names import check_name
from edge_client.fleet.topics import Topics

DEFAULT_PREFIX = "homeassistant"
# In Home Assistant's own words, by SenML's unit (RFC 8428, section 12.1).
_QUANTITIES = {"Cel": ("temperature", "°C"), "%RH": ("humidity", "%")}


@dataclass(frozen=True)
class Sensor:
    """One value of a device."""

    object_id: str  # unique on the device; a name as all of the fleet's
    name: str  # for a person
    topic: str  # where its value is published
    value: str  # template that takes the value out of the payload
    attributes: Mapping[str, Any] = field(default_factory=dict)  # further keys of the configuration


def model_version(model: str, device: str, topics: Topics) -> Sensor:
    """The version of a model that is active on a device, out of its retained report."""
    topic = topics.model(device, model)
    return Sensor(
        f"{model}_version",
        f"{model} version",
        topic,
        "{{ value_json.active.version if value_json.active else 'none' }}",
        {
            "icon": "mdi:brain",
            "entity_category": "diagnostic",
            "json_attributes_topic": topic,
        },
    )


def quantity(name: str, unit: str, topic: str, value: str) -> Sensor:
    """A measured quantity.

    Args:
        name: such as ``temperature``; it becomes the object's id.
        unit: SenML's, such as ``Cel`` or ``%RH``; others are shown as they are.
        topic: where the measurements are published.
        value: template that takes the number out of the payload.
    """
    kind, shown = _QUANTITIES.get(unit, (None, unit))
    attributes = {"unit_of_measurement": shown, "state_class": "measurement"}
    if kind is not None:
        attributes["device_class"] = kind
    return Sensor(name, name, topic, value, attributes)


def discovery(
    sensor: Sensor, device: str, topics: Topics, prefix: str = DEFAULT_PREFIX
) -> tuple[str, bytes]:
    """The topic and the payload that make a sensor known; to be published retained.

    Args:
        sensor: which.
        device: whose; all its sensors appear as of one device.
        topics: of the fleet; the device's status tells whether the sensor is there.
        prefix: Home Assistant's, where its owner changed it.

    Raises:
        FleetError: the device's or the sensor's name is none.
    """
    check_name(device, "device")
    check_name(sensor.object_id, "sensor")
    # A dot is allowed in our names, not in a node id or an object id.
    node, sort = (text.replace(".", "_") for text in (device, sensor.object_id))
    configuration = {
        "name": sensor.name,
        "unique_id": f"ml4iot_{node}_{sort}",
        "state_topic": sensor.topic,
        "value_template": sensor.value,
        "availability_topic": topics.status(device),
        "availability_template": "{{ 'online' if value_json.online else 'offline' }}",
        "device": {
            "identifiers": [f"ml4iot_{node}"],
            "name": device,
            "manufacturer": "ml4iot",
            "model": "ml4iot-edge",
            "sw_version": client_version(),
        },
        "origin": {"name": "ml4iot-edge", "sw_version": client_version()},
    }
    text = json.dumps(configuration | dict(sensor.attributes), ensure_ascii=False)
    return f"{prefix}/sensor/{node}/{sort}/config", text.encode()


@functools.cache
def client_version() -> str:
    """Of this client as it is installed."""
    try:
        return version("ml4iot-edge")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
