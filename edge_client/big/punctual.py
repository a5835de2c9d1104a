"""HTTP connections whose answers come whole before a deadline, however slowly they drip.

A socket's time-out is of one wait for data.  Here every wait gets what is left of the whole, so
that body, headers and any number of ``100 Continue`` before them are bounded together.
"""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection


class _Received(io.RawIOBase):
    """What a socket receives until the deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open as long as itself

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *rest: Any, **more: Any) -> None:
        super().__init__(sock, *rest, **more)
        self.fp.close()
        # urllib3 has just set this to what connecting and sending left of the total.
        deadline = time.monotonic() + (sock.gettimeout() or 0)
        self.fp = io.BufferedReader(_Received(sock, deadline))


class PunctualConnection(HTTPConnection):
    """Its time-out is of the whole answer."""

    response_class = _Response

    def request(self, *arguments: Any, **more: Any) -> None:
        """Sends a request."""
        if self.sock is not None:  # one kept alive has the rest of the last answer's time
            self.sock.settimeout(self.timeout)
        super().request(*arguments, **more)


class PunctualTlsConnection(PunctualConnection, HTTPSConnection):
    """The same over TLS."""
