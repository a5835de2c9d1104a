from __future__ import annotations

import pytest

from edge_client.big.breaker import Breaker
from edge_client.big.client import BigClient
from edge_client.big.connection import Connection
from edge_client.big.question import Question
from edge_client.budget import HourlyBudget
from edge_client.features.frontend import FrontEnd
from tests.edge_client import tiny
from tests.edge_client.big.stub import StubBig


@pytest.fixture
def big():
    with StubBig() as stub:
        yield stub


@pytest.fixture
def client_of():
    """Makes clients, and closes them."""
    made = []

    def make(url, payload="pcm-cbor", budget=None, breaker=None, timeout=5.0, **options):
        connection = Connection(url, options.pop("token", None))
        client = BigClient(
            connection,
            options.pop("labels", tiny.LABELS),
            payload,
            budget or HourlyBudget(),
            breaker or Breaker(),
            timeout,
            **options,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def question():
    audio = tiny.EXAMPLES["low"]
    features = FrontEnd(tiny.FEATURES)(audio * tiny.np.float32(2**-15))
    return Question(audio, 16000, features, tiny.FEATURES, 16000, 16000)
