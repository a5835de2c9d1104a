"""Runs the operator's broker in the foreground."""

from __future__ import annotations

import contextlib
import math
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable

from serving.broker.expiry import check_valid, expiring
from serving.broker.folder import CONFIGURATION, RELOADED, BrokerFolder
from serving.broker.local import START_TIMEOUT_S, find_mosquitto, stop
from serving.open_files import allow_open_files
from serving.options import UsageError, bind

_PROBE_TIMEOUT_S = 2
_LOOK_EVERY_S = 0.5
_WARN_EVERY_S = 86400.0
MAX_CONNECTIONS = 2**16  # as far as the system allows; each is an open file
NO_MOSQUITTO = (
    "no mosquitto on PATH or in /usr/sbin, so an embedded broker stands in: its users and TLS are "
    "the same, but it shows retained messages to every user, keeps nothing through a restart and "
    "is slow; install mosquitto for more than a trial"
)


def run_broker(folder: BrokerFolder, say: Callable[[str], None]) -> int:
    """Runs until SIGTERM or Ctrl-C, or until the broker ends; its exit status.

    A change of users, rights or the certificate is taken over within a second. In the last month of
    a certificate's life it is said every day.

    Args:
        folder: what :func:`~serving.broker.folder.create` made.
        say: told the lines for people.

    Raises:
        UsageError: a certificate is over, the port cannot be had, or the broker does not start.
        KeyboardInterrupt: on Ctrl-C, with the broker ended.
    """
    host, port = folder.listens()
    check_valid(folder)
    folder.write_for_mosquitto()
    with bind(host or "0.0.0.0", port):
        pass
    allow_open_files(MAX_CONNECTIONS)
    program = find_mosquitto()
    if program is not None:
        what, command = "mosquitto", [program, "-c", CONFIGURATION]
    else:
        say(NO_MOSQUITTO)
        what = "embedded broker (amqtt)"
        module = (sys.executable, "-m", "serving.broker.embedded")
        command = [*module, host or "0.0.0.0", str(port), str(folder.path.resolve())]
    # A session of its own: a Ctrl-C in the terminal must reach it through us only.
    process = subprocess.Popen(
        command, cwd=folder.path, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_until_ready(process, folder, host, port, what)
        print(f"{what} listens at {host or '*'}:{port} (TLS, CA {folder.ca})", flush=True)
        _keep_up_to_date(process, folder, say, reloads=program is not None)
        say(f"{what} ended with status {process.returncode}")
        return 1
    finally:
        stop(process)


def _keep_up_to_date(
    process: subprocess.Popen[bytes],
    folder: BrokerFolder,
    say: Callable[[str], None],
    reloads: bool,
) -> None:
    """Until it ends, tells the broker what has changed, and people what is about to expire."""
    known = _stamps(folder)
    warned_at = -math.inf
    while True:
        if time.monotonic() - warned_at >= _WARN_EVERY_S:
            warned_at = time.monotonic()
            _warn(folder, say)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_EVERY_S)
            return
        now = _stamps(folder)
        if now != known and reloads:
            process.send_signal(signal.SIGHUP)
        known = now


def _warn(folder: BrokerFolder, say: Callable[[str], None]) -> None:
    try:
        lines = expiring(folder)
    except UsageError as error:  # the broker has read it, and goes on
        lines = [str(error)]
    for line in lines:
        say(line)


def _stamps(folder: BrokerFolder) -> list[tuple[int, int]]:
    found = []
    for name in RELOADED:
        with contextlib.suppress(OSError):
            stat = (folder.path / name).stat()
            found.append((stat.st_ino, stat.st_mtime_ns))
    return found


def _wait_until_ready(
    process: subprocess.Popen[bytes], folder: BrokerFolder, host: str, port: int, what: str
) -> None:
    reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    context = ssl.create_default_context(cafile=str(folder.ca))
    context.check_hostname = False  # an address to listen on need not be in the certificate
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(reachable, port, context):
        if process.poll() is not None:
            raise UsageError(
                f"{what} does not start (status {process.returncode}); its own lines are above"
            )
        if time.monotonic() > deadline:
            raise UsageError(f"{what} did not answer at port {port} in {START_TIMEOUT_S} s")
        time.sleep(0.02)


def _answers(host: str, port: int, context: ssl.SSLContext) -> bool:
    """Whether somebody there shows a certificate of our CA."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, port), _PROBE_TIMEOUT_S) as connection,
        context.wrap_socket(connection),
    ):
        return True
    return False
