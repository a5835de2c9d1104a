"""What this device is called, unless told otherwise."""

from __future__ import annotations

import re
import socket

from edge_client.fleet.names import NAME


def device_name() -> str:
    """The host's name, as far as a name of ours can hold it."""
    host = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._")[:64]
    return host if NAME.fullmatch(host) else "device"
