"""Runs the embedded server in this process until it is told to stop."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.embedded.app import make_app
from serving.embedded.metrics import ServerMetrics
from serving.embedded.model_config import ModelConfig
from serving.embedded.versions import VersionManager
from serving.http_server import http_server
from serving.options import UsageError

BACKLOG = 512
MAX_CONNECTIONS = 1024

log = logging.getLogger("serving")


def serve(
    configs: Sequence[ModelConfig],
    bound: socket.socket,
    when_ready: Callable[[], None],
    config_file: Path | None = None,
) -> None:
    """Loads the models, then answers on the socket `bound` until SIGTERM or SIGINT.

    The socket listens only once the models are loaded, as the real server's does; then
    `when_ready` is called. Requests in flight get 10 s to finish. Raises `UsageError` when
    no model can be loaded at the start.
    """
    metrics = ServerMetrics()
    manager = VersionManager(configs, metrics, config_file)
    try:
        manager.start()
        if not manager.any_available():
            raise UsageError(_why_nothing(configs, manager))
        server = http_server(make_app(manager, metrics), BACKLOG, MAX_CONNECTIONS)

        def stop(*_: object) -> None:
            server.should_exit = True

        # For signals before uvicorn's own handlers are in place, and after: it raises the one that
        # stopped it once more, and that must not end the process midway.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        bound.listen(BACKLOG)
        when_ready()
        server.run(sockets=[bound])
    finally:
        manager.stop()


def _why_nothing(configs: Sequence[ModelConfig], manager: VersionManager) -> str:
    for config in configs:
        for version in manager.known_versions(config.name):
            if version.error is not None:
                return f"model {config.name!r}, version {version.number}: {version.error}"
    folders = ", ".join(str(config.base_path) for config in configs)
    return f"{folders}: no version folders such as 1/saved_model.pb; export or push a model there"
