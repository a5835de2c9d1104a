"""Where a broker is, how it is known to be the right one, and who we are to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from edge_client.errors import EdgeError
from edge_client.files import read_input

DEFAULT_PORT = 1883
DEFAULT_TLS_PORT = 8883
MAX_PASSWORD_BYTES = 1024

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::([0-9]{1,5}))?")


class BrokerError(EdgeError):
    """No broker there, or not the one we trust, or it does not want us."""


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker listens."""

    host: str
    port: int = DEFAULT_PORT

    @staticmethod
    def parse(text: str, default_port: int = DEFAULT_PORT) -> BrokerAddress:
        """``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``; raises :class:`BrokerError`."""
        found = _BROKER.fullmatch(text)
        port = int(found[2] or default_port) if found else 0
        if found is None or not 0 < port < 65536:
            raise BrokerError(f"broker {text[:60]!r}: HOST or HOST:PORT is wanted")
        return BrokerAddress(found[1].strip("[]"), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Credentials:
    """Who we are to a broker."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Broker:
    """A broker; with ``ca``, over TLS and only where a CA of that PEM file vouches for it."""

    address: BrokerAddress
    ca: Path | None = None
    credentials: Credentials | None = None

    def __str__(self) -> str:
        return str(self.address)


def open_broker(
    address: str,
    ca: Path | None = None,
    username: str | None = None,
    password_file: Path | None = None,
) -> Broker:
    """The broker that options or an enrolment name.

    Args:
        address: ``HOST[:PORT]``; the port is 8883 with a CA, else 1883.
        ca: PEM file of the CA; None: no TLS, and a password travels in clear.
        username: None for a broker that lets anybody in.
        password_file: of the user, one line.

    Raises:
        BrokerError: no such address or file, or a user without a password or the reverse.
    """
    where = BrokerAddress.parse(address, DEFAULT_PORT if ca is None else DEFAULT_TLS_PORT)
    if username is None and password_file is None:
        return Broker(where, ca)
    if not username or password_file is None:
        raise BrokerError(f"broker {where}: a user and the file of the password go together")
    return Broker(where, ca, Credentials(username, _read_password(password_file)))


def _read_password(file: Path) -> str:
    content = read_input(file, MAX_PASSWORD_BYTES, str(file), BrokerError)
    try:
        password = content.decode().strip()
    except UnicodeDecodeError:
        password = ""
    if len(content) > MAX_PASSWORD_BYTES or not password.isprintable() or not password:
        raise BrokerError(f"{file}: one line with a password is wanted")
    return password
