"""What to serve and where, checked before anything is started."""

from __future__ import annotations

import errno
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

MODEL_NAME = re.compile(r"[A-Za-z0-9_.-]+")
BACKENDS = ("auto", "tensorflow", "container", "embedded")
BINARY_VARIABLE = "ML4IOT_TENSORFLOW_MODEL_SERVER"


class UsageError(ValueError):
    """A server cannot be started as asked; the message says what to change."""


@dataclass(frozen=True)
class ServeOptions:
    """One server: either one model's folder under a name, or a ``models.config``.

    `port` 0 picks a free one. `binary` names a ``tensorflow_model_server`` that is not on PATH.
    """

    model_folder: Path | None = None
    name: str = ""
    config: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8501
    backend: str = "auto"
    binary: str | None = None
    log_file: Path | None = None

    def checked(self) -> ServeOptions:
        """The same with absolute paths and the default name. Raises `UsageError`."""
        if (self.model_folder is None) == (self.config is None):
            raise UsageError("name either a model folder or a --config, not both or neither")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port {self.port}: a port is between 0 and 65535")
        if self.config is not None:
            if not self.config.is_file():
                raise UsageError(f"{self.config}: no such file")
            return self._with(config=self.config.resolve(), name=self.name)
        assert self.model_folder is not None
        folder = self.model_folder.resolve()
        check_model_folder(folder)
        name = self.name or folder.name
        if not MODEL_NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be a model's name (letters, digits, _ . -); set one with --name"
            )
        return self._with(model_folder=folder, name=name)

    def _with(self, **changes: object) -> ServeOptions:
        binary = self.binary or os.environ.get(BINARY_VARIABLE) or None
        return ServeOptions(**{**self.__dict__, "binary": binary, **changes})


def check_model_folder(folder: Path) -> None:
    """Raises `UsageError` unless `folder` holds ``<version>/saved_model.pb``."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    if (folder / "saved_model.pb").is_file():
        raise UsageError(
            f"{folder} is one version of a model; name the folder above it, in which each version "
            "is a folder named by a number"
        )
    numbered = [each for each in folder.iterdir() if each.name.isdigit() and each.is_dir()]
    if not numbered:
        raise UsageError(
            f"{folder} holds no version of a model: expected a folder named by a number, such as "
            f"{folder / '1' / 'saved_model.pb'}"
        )
    if not any((each / "saved_model.pb").is_file() for each in numbered):
        raise UsageError(f"{folder}: none of its versions holds a saved_model.pb")


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket that holds the port but does not listen yet. Raises `UsageError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UsageError(f"host {host!r}: {error.strerror or error}") from error
    except UnicodeError as error:  # an empty or endless part between dots
        raise UsageError(f"host {host[:60]!r}: no name that a host can have") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise bind_error(host, port, error) from error
    return bound


def bind_error(host: str, port: int, error: OSError) -> UsageError:
    """What to tell when a port cannot be had."""
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"port {port} on {host} is in use; choose another with --port")
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} is not allowed to this user; choose one above 1023")
    return UsageError(f"cannot use port {port} on {host}: {error.strerror or error}")


def base_url(host: str, port: int) -> str:
    """The URL a client on this machine uses."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def plain_url(flag: str, text: str) -> str:
    """The URL without a slash at its end. Raises `UsageError` for one that `flag` cannot take."""
    import httpx  # late: --help is to be instant

    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(text)  # characters and lengths that no URL has
        (parts.hostname or "").encode("idna")  # or looking the host up fails with UnicodeError
    except (ValueError, httpx.InvalidURL):
        usable = False
    # A password in it would show up in the announcement and the log.
    if not usable or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"{flag} {text[:200]!r}: a URL such as http://127.0.0.1:8501 is wanted")
    return text.rstrip("/")
