"""Starts a gateway as a process of its own and waits until it answers.

::

    with start_gateway(GatewayOptions(Path("models/big"), port=0)) as gateway:
        httpx.post(f"{gateway.url}/big_model", content=body)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from serving.gateway.options import GatewayOptions
from serving.launcher import START_TIMEOUT_S, RunningServer, as_flags, run_server
from serving.options import base_url, bind
from serving.readiness import get_json

_LOOK_TIMEOUT_S = 2


@contextmanager
def start_gateway(
    options: GatewayOptions, start_timeout_s: float = START_TIMEOUT_S
) -> Iterator[RunningServer]:
    """Runs ``ml4iot-gateway`` until the block is left; a token comes from the environment.

    Raises `UsageError` with the gateway's own words when it does not start, TimeoutError when it
    is not ready within `start_timeout_s` seconds.
    """
    options = options.checked()
    with bind(options.host, options.port) as probe:
        options = replace(options, port=probe.getsockname()[1])
    url = base_url(options.host, options.port)
    command = [sys.executable, "-m", "serving.gateway", *_arguments(options)]
    with run_server(command, url, lambda: _answers(url), start_timeout_s) as gateway:
        yield gateway


def _answers(url: str) -> bool:
    try:
        return bool(get_json(f"{url}/healthz", _LOOK_TIMEOUT_S)["status"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _arguments(options: GatewayOptions) -> list[str]:
    given = {
        "--backend": "" if options.model_folder else options.backend,
        "--name": options.name,
        "--slow": options.slow,
        "--host": options.host,
        "--port": options.port,
        "--max-batch": options.max_batch,
        "--in-flight": options.in_flight,
        "--queue": options.queue,
        "--timeout": options.timeout_s,
        "--max-bytes": options.max_bytes,
        "--patience": options.patience_s,
        "--token-file": options.token_file,
        "--log-file": options.log_file,
    }
    return as_flags(given) + ([str(options.model_folder)] if options.model_folder else [])
