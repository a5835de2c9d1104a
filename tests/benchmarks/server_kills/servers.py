"""The two servers of a fleet, each to be killed and started again where it was."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edge_client.fleet.enrolment import EnrolledBroker
from edge_client.mqtt.broker import Broker
from serving.broker import find_mosquitto
from serving.broker.folder import CONFIGURATION, REGISTRY, BrokerFolder, create
from serving.options import UsageError, bind
from serving.registry.launcher import start_registry
from serving.registry.options import RegistryOptions

_HOST = "127.0.0.1"
_START_S, _STOP_S = 30.0, 10.0


class Server(Protocol):
    """One that can be killed."""

    def start(self) -> None:
        """Starts it, on the same port and folder as before, and waits until it answers."""

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""


class RegistryServer:
    """``ml4iot-registry serve``."""

    def __init__(self, folder: Path, broker: MosquittoServer, log: Path) -> None:
        """Starts nothing yet.

        Args:
            folder: of the registry.
            broker: where it announces.
            log: its file.
        """
        self._password = broker.password(REGISTRY)
        self._options = RegistryOptions(
            folder, _HOST, port=0, log_file=log, broker=broker.as_user(REGISTRY)
        )
        self._running = ExitStack()

    def __enter__(self) -> RegistryServer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.close()

    def start(self) -> None:
        registry = self._running.enter_context(
            start_registry(self._options, password_file=self._password)
        )
        self.url, self._process = registry.url, registry.process
        self._options = replace(self._options, port=int(self.url.rpartition(":")[2]))

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._running.close()


class MosquittoServer:
    """Mosquitto with what ``ml4iot-broker init`` makes: TLS, users, rights, and persistence."""

    def __init__(self, path: Path, devices: list[str]) -> None:
        """Makes the folder.  Raises `UsageError` where there is no Mosquitto.

        Args:
            path: of the folder.
            devices: that may come in.
        """
        program = find_mosquitto()
        if program is None:
            raise UsageError("no mosquitto on PATH or in /usr/sbin; install it")
        with bind(_HOST, 0) as probe:
            self._port: int = probe.getsockname()[1]
        self._folder: BrokerFolder = create(path, [_HOST], self._port, _HOST)
        self._folder.add(devices, "device")
        self._command = [program, "-c", CONFIGURATION]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MosquittoServer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_STOP_S)

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder.path,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        patience = time.monotonic() + _START_S
        while not self._listens():
            if self._process.poll() is not None:
                raise UsageError(f"mosquitto ended with status {self._process.returncode}")
            if time.monotonic() > patience:
                raise TimeoutError(f"mosquitto did not answer at port {self._port}")
            time.sleep(0.01)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def password(self, user: str) -> Path:
        """The file in which it is."""
        return self._folder.path / "credentials" / f"{user}.password"

    def enrolled(self, device: str) -> EnrolledBroker:
        """The broker as a device is told of it."""
        return EnrolledBroker(
            f"{_HOST}:{self._port}", str(self._folder.ca), device, str(self.password(device))
        )

    def as_user(self, user: str) -> Broker:
        """The broker with a user's password."""
        return self.enrolled(user).open()

    def _listens(self) -> bool:
        try:
            socket.create_connection((_HOST, self._port), 1.0).close()
        except OSError:
            return False
        return True
