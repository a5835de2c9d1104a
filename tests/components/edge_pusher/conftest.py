"""A registry as an operator makes one, answering on a free port; and bundles to push to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from components.edge_pusher.registry import RegistryTarget
from edge_client.bundle import (
    Budget,
    ForecastOutput,
    Manifest,
    Origin,
    Quantization,
    RecordInput,
    bundle_bytes,
    pack_model,
)
from edge_client.features.spec import Quantity, RecordWindow, Standardisation
from serving.options import bind
from serving.registry.http.app import create_app
from serving.registry.options import RegistryOptions
from serving.registry.registry import Registry, open_registry
from serving.registry.tuf.create import Created, KeyCounts, create

Make = Callable[..., bytes]


@pytest.fixture
def bundle() -> Make:
    """A bundle of th-a in some version; a run makes other bytes of the same version."""

    def make(version: str, run: str = "run") -> bytes:
        entry, packed = pack_model(b"a model, as far as a pusher can tell", "zlib")
        window = RecordWindow((Quantity("T", "T (degC)", "Cel"),), 6, 3, 600)
        manifest = Manifest(
            name="th-a",
            version=version,
            task="forecasting",
            input=RecordInput(window, Standardisation((9.0,), (7.0,))),
            output=ForecastOutput(("T",), 3),
            quantization=Quantization(None, None),
            deferral=None,
            budgets=(Budget("mae.T", "<", 0.5, 1 / 3, "Cel"), Budget("bytes", "<", 2000, 683, "B")),
            model=entry,
            golden=(),
            created_by=Origin("forecasting", run, "float16"),
        )
        return bundle_bytes(manifest, packed, "th-a")

    return make


@dataclass(frozen=True)
class Running:
    """A registry that answers, and what a pipeline needs to push to it."""

    registry: Registry
    created: Created
    target: RegistryTarget


@contextmanager
def running(folder: Path, counts: KeyCounts | None = None) -> Iterator[Running]:
    """Makes a registry in ``folder`` and serves it."""
    created = create(folder / "registry", folder / "keys", counts or KeyCounts())
    registry = open_registry(RegistryOptions(created.folder))
    token = folder / "token"
    token.write_text(registry.tokens.add("pipeline", "push") + "\n")
    # To configure logging closes what handlers there are, and absl's has pytest's own stream.
    config = uvicorn.Config(create_app(registry), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with bind("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            target = RegistryTarget(
                url=f"http://127.0.0.1:{listening.getsockname()[1]}",
                token_file=str(token),
                targets_keys=tuple(map(str, created.targets_keys)),
                root=str(created.trusted_root),
            )
            yield Running(registry, created, target)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as made:
        yield made
