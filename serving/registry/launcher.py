"""Starts a registry as a process of its own and waits until it answers.

::

    with start_registry(RegistryOptions(Path("registry"), port=0)) as registry:
        httpx.get(f"{registry.url}/models")
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from serving.launcher import START_TIMEOUT_S, RunningServer, as_flags, run_server
from serving.options import base_url, bind
from serving.readiness import get_json
from serving.registry.options import RegistryOptions

_LOOK_TIMEOUT_S = 2


@contextmanager
def start_registry(
    options: RegistryOptions,
    start_timeout_s: float = START_TIMEOUT_S,
    password_file: Path | None = None,
) -> Iterator[RunningServer]:
    """Runs ``ml4iot-registry serve`` until the block is left.

    A broker's password goes in the file `password_file`, for arguments are seen by everybody.

    Raises `UsageError` with the registry's own words when it does not start, TimeoutError when it
    is not ready within `start_timeout_s` seconds.
    """
    options = options.checked()
    with bind(options.host, options.port) as probe:
        options = replace(options, port=probe.getsockname()[1])
    url = base_url(options.host, options.port)
    command = [sys.executable, "-m", "serving.registry", "serve", str(options.folder)]
    with run_server(
        [*command, *_flags(options, password_file)], url, lambda: _answers(url), start_timeout_s
    ) as registry:
        yield registry


def _answers(url: str) -> bool:
    try:
        return bool(get_json(f"{url}/health", _LOOK_TIMEOUT_S)["status"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _flags(options: RegistryOptions, password_file: Path | None) -> list[str]:
    broker = options.broker
    given: dict[str, object] = {
        "--host": options.host,
        "--port": options.port,
        "--log-file": options.log_file,
        "--sensor": options.sensor.sensor,
        "--replay": options.sensor.replay,
        "--interval": options.sensor.interval_s,
    }
    if broker is not None:
        given |= {
            "--broker": broker.address,
            "--broker-ca": broker.ca,
            "--prefix": options.prefix,
        }
        if broker.credentials is not None:
            given |= {
                "--broker-user": broker.credentials.username,
                "--broker-password-file": password_file,
            }
    return as_flags(given)
