"""Servers for the tests: the embedded one, or a real one where the environment names it.

- ``ML4IOT_TENSORFLOW_MODEL_SERVER``: a tensorflow_model_server; it is started in its place.
- ``ML4IOT_TF_SERVING_URL``: a server that has the models of the recorded exchanges; the recorded
  contract is held against it as it is.
- ``ML4IOT_TF_SERVING``: the folder of recorded exchanges (default: beside the checkout).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.launcher import start_server
from serving.options import BINARY_VARIABLE, ServeOptions
from tests.serving.models import write_kinds, write_scale

MAKE_TIMEOUT_S = 600
RECORDED = Path(
    os.environ.get("ML4IOT_TF_SERVING")
    or Path(__file__).parents[2].parent / "shared" / "tf_serving"
)


@dataclass(frozen=True)
class ServerUnderTest:
    """Where it answers, and whether it is ours."""

    url: str
    embedded: bool


def _start(config: Path) -> Iterator[ServerUnderTest]:
    real = bool(os.environ.get(BINARY_VARIABLE))
    options = ServeOptions(config=config, port=0, backend="tensorflow" if real else "embedded")
    with start_server(options) as server:
        yield ServerUnderTest(server.url, embedded=not real)


@pytest.fixture(scope="session")
def recorded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    """A server with the models of the recorded exchanges."""
    named = os.environ.get("ML4IOT_TF_SERVING_URL")
    if named:
        yield ServerUnderTest(named.rstrip("/"), embedded=False)
        return
    folder = tmp_path_factory.mktemp("recorded")
    models = folder / "models"
    command = [sys.executable, str(RECORDED / "make_models.py"), str(models)]
    subprocess.run(command, check=True, capture_output=True, timeout=MAKE_TIMEOUT_S)
    config = folder / "models.config"
    text = (RECORDED / "models.config").read_text(encoding="utf-8")
    config.write_text(text.replace("FOLDER", str(models)), encoding="utf-8")
    yield from _start(config)


OWN_CONFIG = """
model_config_list {{
  config {{ name: "kinds" base_path: "{0}/kinds" model_platform: "tensorflow" }}
  config {{ name: "scale" base_path: "{0}/scale" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }}
  config {{ name: "moving" base_path: "{0}/moving" model_platform: "tensorflow" }}
  config {{ name: "newest only" base_path: "{0}/scale" model_platform: "tensorflow" }}
}}
"""


@pytest.fixture(scope="session")
def own_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own models: `kinds`, `scale` in two versions, and `moving`, which tests may add to."""
    folder = tmp_path_factory.mktemp("models")
    write_kinds(folder / "kinds")
    write_scale(folder / "scale", 1, 10.0)
    write_scale(folder / "scale", 2, 20.0)
    write_scale(folder / "moving", 1, 10.0)
    return folder


@pytest.fixture(scope="session")
def server(own_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    """A server with our own models."""
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(OWN_CONFIG.format(own_models), encoding="utf-8")
    yield from _start(config)
