"""One process at a time under the name of one session: a broker throws out the first of two."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_client.errors import EdgeError
from edge_client.fleet.names import check_name
from edge_client.mqtt.broker import Broker


def default_session() -> str:
    """One for each user of each host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    text = f"alarms-{user}-{socket.gethostname()}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:64]


@contextmanager
def held(session: str, broker: Broker) -> Iterator[str]:
    """Keeps a session at a broker from this machine's other processes; gives the client's id.

    Raises:
        EdgeError: the session is held, or its name is none.
    """
    check_name(session, "session")
    client_id = f"ml4iot-{session}"
    mark = hashlib.sha256(f"{broker}/{client_id}".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"ml4iot-{os.getuid()}-{mark}.lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EdgeError(f"{path}: cannot be locked: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise EdgeError(
            f"session {session}: another process here has it; name another with --session"
        ) from None
    try:
        yield client_id
    finally:
        os.close(handle)
