"""Runs the registry in this process until it is told to stop."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from serving.http_server import http_server
from serving.open_files import allow_open_files
from serving.options import UsageError
from serving.registry.http.app import create_app
from serving.registry.log import log
from serving.registry.options import RegistryOptions
from serving.registry.registry import Registry, open_registry

BACKLOG = 4096
# Devices keep theirs for a while, and a large fleet comes in a few seconds.
MAX_CONNECTIONS = 8192
_OTHER_FILES = 256


def serve(
    options: RegistryOptions, bound: socket.socket, when_ready: Callable[[Registry], None]
) -> None:
    """Answers on the socket `bound` until SIGTERM or SIGINT.

    The socket listens only once the folder is read and its metadata renewed; then `when_ready` is
    called. Requests in flight get 10 s to finish. Raises `UsageError` for a folder that is no
    registry's, is damaged, or is served already.
    """
    allowed = allow_open_files(MAX_CONNECTIONS + _OTHER_FILES)
    if allowed < MAX_CONNECTIONS + _OTHER_FILES:
        log.warning("the system allows %d open files, so not more connections (ulimit -n)", allowed)
    with _alone(options.folder):
        registry = open_registry(options)
        server = http_server(create_app(registry), BACKLOG, MAX_CONNECTIONS)

        def stop(*_: object) -> None:
            server.should_exit = True

        # For signals before uvicorn's own handlers are in place, and after: it raises the one that
        # stopped it once more, and that must not end the process midway.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        with _running(registry):
            bound.listen(BACKLOG)
            when_ready(registry)
            server.run(sockets=[bound])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        opened = (folder / ".serving").open("wb")
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written: {error.strerror}") from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{folder}: is served by another process already") from None
        yield


@contextlib.contextmanager
def _running(registry: Registry) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for service in registry.services:
            service.start()
            stack.callback(service.close)
        yield
