"""A broker that lets anybody in, for tests and the demo: Mosquitto, or an embedded one.

::

    with start_broker() as broker:
        subprocess.run(["ml4iot-edge", "cooperate", "node", …, "--broker", broker.address])
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.options import UsageError, bind

BACKENDS = ("auto", "mosquitto", "embedded")
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
_PROBE_TIMEOUT_S = 2
# Debian puts it where an ordinary user's PATH does not look.
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")

# Nothing outlives the process; a subscriber that does not keep up costs memory within bounds.
_CONFIG = """\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
message_size_limit 16777216
max_queued_messages 1000
log_dest stderr
log_type error
log_type warning
"""
# MQTT 3.1.1, section 3.1: a clean session of an empty client id, and nothing more.
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
_CONNACK = b"\x20\x02\x00\x00"


@dataclass(frozen=True)
class RunningBroker:
    """A broker that answers at ``host``:``port``; ``what`` says which one it is."""

    host: str
    port: int
    what: str
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """``HOST:PORT``, as ``--broker`` takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find_mosquitto() -> str | None:
    """The program's path, or None."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_ELSEWHERE])
    return shutil.which("mosquitto", path=path)


@contextmanager
def start_broker(
    port: int = 0, host: str = "127.0.0.1", backend: str = "auto"
) -> Iterator[RunningBroker]:
    """Runs a broker until the block is left.

    Args:
        port: 0 picks a free one.
        host: where it listens. It lets anybody in, so think before you open it to a network.
        backend: ``mosquitto``, ``embedded`` (amqtt), or ``auto`` for the first that is there.

    Raises:
        UsageError: the port or host cannot be had, or there is no such broker.
        TimeoutError: it does not answer in time.
    """
    program = find_mosquitto() if backend in ("auto", "mosquitto") else None
    if backend == "mosquitto" and program is None:
        raise UsageError("mosquitto is neither on PATH nor in /usr/sbin; install it")
    with bind(host, port) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ml4iot-broker-") as folder:
        log = Path(folder, "log")
        if program is not None:
            config = Path(folder, "mosquitto.conf")
            config.write_text(_CONFIG.format(host=host, port=port), encoding="ascii")
            what, command = "mosquitto", [program, "-c", str(config)]
        else:
            what = "embedded broker (amqtt)"
            command = [sys.executable, "-m", "serving.broker.embedded", host, str(port)]
        with log.open("wb") as out:
            # A session of its own: a Ctrl-C in the terminal must reach it through us only.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        try:
            _wait_until_ready(process, host, port, what, log)
            yield RunningBroker(host, port, what, process)
        finally:
            stop(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], host: str, port: int, what: str, log: Path
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(host, port):
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            why = lines[-1] if lines else f"it ended with status {process.returncode}"
            raise UsageError(f"{what} does not start: {why}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not answer at {host}:{port} in {START_TIMEOUT_S} s")
        time.sleep(0.02)


def _answers(host: str, port: int) -> bool:
    """Whether a broker takes a client there."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    try:
        with socket.create_connection((reachable, port), _PROBE_TIMEOUT_S) as connection:
            connection.sendall(_CONNECT)
            return connection.recv(len(_CONNACK)) == _CONNACK
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends it: first it is asked to."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
