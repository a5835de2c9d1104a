"""HTTP to one server: kept-alive connections, a time limit and a size limit on every exchange."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import urllib3
from urllib3 import exceptions
from urllib3.util import Retry, Timeout

from edge_client.big.punctual import PunctualConnection, PunctualTlsConnection
from edge_client.errors import EdgeError
from edge_client.fields import Fields, strict_json
from edge_client.files import check_size, read_input
from edge_client.server_url import server_url

MAX_ANSWER_BYTES = 2**20
_PIECE_BYTES = 2**16
_MAX_TOKEN_BYTES = 4096
_LONGEST_REFUSAL = 300  # characters
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_LENGTH = re.compile(r"[0-9]{1,7}")
# Nothing was sent when one of these is raised.
_NOT_CONNECTED = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError)


class ExchangeError(EdgeError):
    """No answer, or too large a one."""

    def __init__(self, message: str, sent: bool, again: bool = True) -> None:
        """Raised by :meth:`Connection.exchange`.

        Args:
            message: one line.
            sent: whether the request may have left the device.
            again: whether a second try may go better.
        """
        super().__init__(message)
        self.sent, self.again = sent, again


@dataclass(frozen=True)
class Reply:
    """What a server answered, whatever its status."""

    status: int
    body: bytes
    retry_after: float | None  # seconds, where the server asks for patience

    def refusal(self) -> str:
        """Why the server does not do it, in its own words (``{"error": …}``), in one line."""
        try:
            text = Fields(strict_json(self.body), "answer").text("error", longest=10_000)
        except (ValueError, RecursionError):
            text = f"status {self.status}"
        return text[:_LONGEST_REFUSAL]


class Connection:
    """Exchanges with one server.  Safe for use by several threads."""

    def __init__(self, url: str, token: str | None = None, connections: int = 4) -> None:
        """Opens nothing yet.

        Args:
            url: ``http://host:port`` or https, with a path in front of the routes if need be.
            token: sent as ``Authorization: Bearer``.
            connections: kept alive at most.

        Raises:
            EdgeError: no such URL.
        """
        parsed = server_url(url)
        self.url = url.rstrip("/")
        self._path = (parsed.path or "").rstrip("/")
        self._headers = {"User-Agent": "ml4iot-edge", "Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        # One pool of one server, which knows nothing of proxies.
        self._pool = urllib3.connection_from_url(
            f"{parsed.scheme}://{parsed.netloc}", maxsize=connections, retries=False
        )
        tls = parsed.scheme == "https"
        self._pool.ConnectionCls = PunctualTlsConnection if tls else PunctualConnection

    def exchange(
        self,
        method: str,
        route: str,
        seconds: float,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> Reply:
        """One request and its answer, of whatever status.

        Args:
            method: ``GET`` or ``POST``.
            route: the path below the URL, with its leading slash.
            seconds: for connecting, sending and the whole answer together; only looking up the
                host's name, and trying one address of it after the other, can take longer.
            body: of the request.
            content_type: of the body.

        Raises:
            ExchangeError: no whole answer of at most 1 MiB, which says its length, within the time.
        """
        headers = dict(self._headers)
        if content_type is not None:
            headers["Content-Type"] = content_type
        try:
            response = self._pool.urlopen(
                method,
                self._path + route,
                body=body,
                headers=headers,
                redirect=False,
                timeout=Timeout(total=seconds),
                preload_content=False,
                decode_content=False,  # an answer cannot unpack to more than was read
            )
            self._check_length(response)
            data = bytearray()
            # Only reading on tells an answer that was cut short from one that is complete.
            while piece := response.read(_PIECE_BYTES):
                data += piece
        except ExchangeError:  # an EdgeError is a ValueError
            raise
        except _NOT_CONNECTED as error:
            raise ExchangeError(f"{self.url}: cannot be reached ({_why(error)})", False) from None
        except exceptions.TimeoutError:
            raise ExchangeError(f"{self.url}: no answer in time", True) from None
        except (exceptions.HTTPError, OSError, ValueError) as error:
            raise ExchangeError(f"{self.url}: broke off ({_why(error)})", True) from None
        response.release_conn()
        patience = _retry_after(response.headers.get("Retry-After"))
        return Reply(response.status, bytes(data), patience)

    def _check_length(self, response: urllib3.BaseHTTPResponse) -> None:
        """Chunks are refused: http.client reads one of negative size to the end of all data."""
        length = response.headers.get("Content-Length", "")
        if "Transfer-Encoding" in response.headers or not _LENGTH.fullmatch(length):
            wrong = "an answer that does not say its length"
        elif int(length) > MAX_ANSWER_BYTES:
            wrong = f"an answer of more than {MAX_ANSWER_BYTES} bytes"
        else:
            return
        response.close()
        raise ExchangeError(f"{self.url}: {wrong}", sent=True, again=False)

    def close(self) -> None:
        """Closes the connections kept alive."""
        self._pool.close()


def read_token(path: Path) -> str:
    """The token in a file; raises :class:`EdgeError` when there is none."""
    data = read_input(path, _MAX_TOKEN_BYTES, str(path), EdgeError)
    check_size(len(data), _MAX_TOKEN_BYTES, str(path), EdgeError)
    token = data.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise EdgeError(f"{path}: no token; one line of letters, digits and . _ ~ + / - is wanted")
    return token


def _retry_after(text: str | None) -> float | None:
    """Seconds, from either spelling RFC 9110 section 10.2.3 allows; None where there is neither."""
    if text is None:
        return None
    try:
        return float(Retry().parse_retry_after(text))
    except (exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def _why(error: Exception) -> str:
    """The system's own words out of what urllib3 wraps them in."""
    inner = error.__cause__ or error.__context__
    reason = inner if isinstance(inner, OSError) and inner.strerror else None
    return reason.strerror if reason is not None and reason.strerror else type(error).__name__
