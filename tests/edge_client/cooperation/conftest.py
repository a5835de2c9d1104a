from __future__ import annotations

from itertools import count

import pytest

from edge_client.mqtt.broker import open_broker
from serving.broker import start_broker
from tests.edge_client.cooperation.room import Room

_numbers = count()


@pytest.fixture(scope="package")
def mosquitto_broker(mosquitto):
    with start_broker(backend="mosquitto") as broker:
        yield broker


@pytest.fixture
def room(mosquitto_broker, keyword_bundle):
    """Topics of its own on the shared broker; whatever was started in it is ended."""
    with Room(
        open_broker(mosquitto_broker.address), f"room{next(_numbers)}/", keyword_bundle
    ) as made:
        yield made
