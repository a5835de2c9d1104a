"""Gateways for the tests: before a backend that does as it is told, and before the real Big."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_client.bundle import read_bundle
from serving.gateway.launcher import start_gateway
from serving.gateway.options import GatewayOptions
from serving.launcher import start_server
from serving.options import BINARY_VARIABLE, ServeOptions
from serving.readiness import is_ready
from serving.real_server import BINARY
from tests.serving.gateway.fake_backend import FakeBackend

TIMEOUT_S = 3.0
MAX_BYTES = 200_000
IN_FLIGHT, MAX_BATCH, QUEUE = 1, 4, 8


@pytest.fixture(scope="session")
def session_backend() -> Iterator[FakeBackend]:
    with FakeBackend() as backend:
        yield backend


@pytest.fixture
def backend(session_backend: FakeBackend) -> Iterator[FakeBackend]:
    """A backend that behaves, until told otherwise."""
    session_backend.reset()
    yield session_backend
    session_backend.reset()


@pytest.fixture(scope="session")
def gateway_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway") / "gateway.log"


@pytest.fixture(scope="session")
def gateway(session_backend: FakeBackend, gateway_log: Path) -> Iterator[str]:
    """The URL of a gateway with tight limits before the backend that does as it is told."""
    options = GatewayOptions(
        backend=session_backend.url,
        port=0,
        in_flight=IN_FLIGHT,
        max_batch=MAX_BATCH,
        queue=QUEUE,
        timeout_s=TIMEOUT_S,
        max_bytes=MAX_BYTES,
        log_file=gateway_log,
    )
    with start_gateway(options) as running:
        yield running.url


@pytest.fixture(scope="session")
def big_backend(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """URL and name of the committed Big behind TensorFlow Serving's contract.

    The server named by ``ML4IOT_TF_SERVING_URL`` where it has a model `big`, a real
    tensorflow_model_server where one is named or on PATH, else the embedded one.
    """
    named = os.environ.get("ML4IOT_TF_SERVING_URL", "").rstrip("/")
    if named and is_ready(named, "big"):
        yield named, "big"
        return
    real = bool(os.environ.get(BINARY_VARIABLE) or shutil.which(BINARY))
    options = ServeOptions(
        repository / "models" / "big",
        port=0,
        backend="tensorflow" if real else "embedded",
        log_file=tmp_path_factory.mktemp("serve") / "serve.log",
    )
    with start_server(options) as server:
        yield server.url, "big"


@pytest.fixture(scope="session")
def big_gateway(
    big_backend: tuple[str, str], repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a gateway before the committed Big, with the committed Little as slow model."""
    url, name = big_backend
    log_file = tmp_path_factory.mktemp("gateway") / "gateway.log"
    slow = repository / "models" / "little.bundle"
    options = GatewayOptions(backend=url, name=name, port=0, slow=slow, log_file=log_file)
    with start_gateway(options) as running:
        yield running.url


@pytest.fixture(scope="session")
def spoken(repository: Path) -> np.ndarray:
    """A real word: one second of int16 at 16 kHz, out of a bundle's golden inputs."""
    golden = read_bundle(repository / "models" / "little.bundle").manifest.golden
    return np.frombuffer(golden[0].input, "<i2").astype(np.int16)
