"""HTTP to the registry, on the device's terms: every answer bounded in bytes and in seconds.

What comes back is trusted in nothing; :mod:`edge_client.fleet.update.trust` verifies it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface
from urllib3 import exceptions
from urllib3.util import Timeout

from edge_client.big.punctual import PunctualConnection, PunctualTlsConnection
from edge_client.fleet.errors import EndlessRefused, LengthRefused, RegistryAway
from edge_client.server_url import server_url

CONNECT_S = 10.0
METADATA_S = 20.0  # for one file of metadata
REFRESH_S = 120.0  # for all of them together
TARGET_S, SLOWEST = 60.0, 2048  # for a bundle: so many seconds, and bytes in any further one
_PIECE_BYTES = 2**16
_LENGTH = re.compile(r"[0-9]{1,15}")
_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")


@dataclass
class Fetched:
    """Metadata as it came, so that it can be said what is wrong with it."""

    name: str = ""  # of the last file, such as 7.snapshot.json
    data: bytes = b""
    timestamp: bytes = b""


class Fetcher(FetcherInterface):
    """Fetches from one registry.  Not safe for use by several threads at once."""

    def __init__(self, registry: str) -> None:
        """Opens nothing yet; raises :class:`EdgeError` for what is no URL of a server."""
        parsed = server_url(registry)
        self.registry = registry.rstrip("/")
        self._path = (parsed.path or "").rstrip("/")
        self._pool = urllib3.connection_from_url(
            f"{parsed.scheme}://{parsed.netloc}", maxsize=1, retries=False
        )
        tls = parsed.scheme == "https"
        self._pool.ConnectionCls = PunctualTlsConnection if tls else PunctualConnection
        self._until = 0.0
        self.fetched = Fetched()

    def begin(self) -> None:
        """From now on, metadata has so much time."""
        self._until = time.monotonic() + REFRESH_S
        self.fetched = Fetched()

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """A file of metadata.

        Args:
            url: of the file.
            max_length: bytes.

        Raises:
            DownloadHTTPError: the registry has no such file.
            LengthRefused: it is longer.
            EndlessRefused: it does not say how long it is, or does not end in time.
            RegistryAway: there is no answer, or one that says the registry is in trouble.
        """
        name = url.rpartition("/")[2]
        seconds = min(METADATA_S, self._until - time.monotonic())
        if seconds <= 0:
            raise EndlessRefused(
                f"{self.registry}: its metadata did not come to an end within {REFRESH_S:g} s"
            )
        response = self._open(url, {}, seconds)
        length = self._length(response, name)
        if length > max_length:
            response.close()
            raise LengthRefused(f"{self.registry}: {name} has {length} bytes; {max_length} at most")
        data = b"".join(self._pieces(response, name))
        self.fetched.name, self.fetched.data = name, data
        if name == "timestamp.json":
            self.fetched.timestamp = data
        return data

    def download_whole(
        self, url: str, partial: Path, length: int, progress: Callable[[int], None]
    ) -> None:
        """The rest of a file of which some may be there already.

        Args:
            url: of the file.
            partial: what is there of it; afterwards all of it, written through.
            length: bytes of the whole.
            progress: called with the bytes that are there.

        Raises:
            LengthRefused: the registry's file is longer or shorter.
            EndlessRefused: it does not say how long it is, or does not end in time.
            RegistryAway: it broke off, or there is no answer; what came is kept.
            OSError: it cannot be written; what came is kept.
        """
        have = partial.stat().st_size if partial.exists() else 0
        if have > length:
            partial.unlink()
            have = 0
        if have < length or not partial.exists():
            name = url.rpartition("/")[2]
            headers = {"Range": f"bytes={have}-"} if have else {}
            seconds = TARGET_S + (length - have) / SLOWEST
            try:
                response = self._open(url, headers, seconds)
            except DownloadHTTPError as error:
                if error.status_code == 416:
                    partial.unlink(missing_ok=True)
                    raise LengthRefused(
                        f"{self.registry}: {name} is shorter than the {length} bytes signed for"
                    ) from None
                raise RegistryAway(
                    f"{self.registry}: answers {error.status_code} when asked for {name}"
                ) from None
            if response.status != 206:
                have = 0
            self._check_range(response, have, length, name)
            pieces = self._pieces(response, name)
            with closing(pieces), partial.open("ab" if have else "wb") as file:
                for piece in pieces:
                    file.write(piece)
                    have += len(piece)
                    progress(have)
        with partial.open("rb") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Closes the connection kept alive."""
        self._pool.close()

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, _PIECE_BYTES)

    def _open(self, url: str, headers: dict[str, str], seconds: float) -> urllib3.BaseHTTPResponse:
        for attempt in (1, 2):
            try:
                response = self._pool.urlopen(
                    "GET",
                    self._path + url.removeprefix(self.registry),
                    headers={
                        "User-Agent": "ml4iot-edge",
                        "Accept-Encoding": "identity",
                        **headers,
                    },
                    redirect=False,
                    timeout=Timeout(connect=min(CONNECT_S, seconds), total=seconds),
                    preload_content=False,
                    decode_content=False,  # an answer cannot unpack to more than was read
                )
                break
            except (exceptions.NewConnectionError, exceptions.TimeoutError) as error:
                raise RegistryAway(f"{self.registry}: no answer ({_why(error)})") from None
            except (exceptions.HTTPError, OSError) as error:
                # Perhaps only a kept-alive connection that the registry closed just now.
                if attempt == 2:
                    raise RegistryAway(f"{self.registry}: broke off ({_why(error)})") from None
        if response.status in (200, 206):
            return response
        response.close()
        if response.status in (403, 404, 416):
            raise DownloadHTTPError(f"status {response.status}", response.status)
        raise RegistryAway(f"{self.registry}: answers with status {response.status}")

    def _length(self, response: urllib3.BaseHTTPResponse, name: str) -> int:
        """Chunks are refused: nothing says where they end."""
        length = response.headers.get("Content-Length", "")
        if "Transfer-Encoding" in response.headers or not _LENGTH.fullmatch(length):
            response.close()
            raise EndlessRefused(f"{self.registry}: {name} comes without its length")
        return int(length)

    def _check_range(
        self, response: urllib3.BaseHTTPResponse, start: int, length: int, name: str
    ) -> None:
        """Raises where not exactly the bytes from ``start`` to the end are coming."""
        coming, whole = start + self._length(response, name), length
        if response.status == 206:
            given = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            whole = int(given[3]) if given and int(given[1]) == start else -1
        if coming != length or whole != length:
            response.close()
            raise LengthRefused(
                f"{self.registry}: {name} does not have the {length} bytes signed for"
            )

    def _pieces(
        self, response: urllib3.BaseHTTPResponse, name: str
    ) -> Generator[bytes, None, None]:
        whole = False
        try:
            while piece := self._piece(response, name):
                yield piece
            whole = True
        finally:
            response.release_conn() if whole else response.close()

    def _piece(self, response: urllib3.BaseHTTPResponse, name: str) -> bytes:
        try:
            return response.read(_PIECE_BYTES)
        except exceptions.TimeoutError:
            raise EndlessRefused(
                f"{self.registry}: {name} did not come to its end in time"
            ) from None
        except (exceptions.HTTPError, OSError) as error:
            raise RegistryAway(f"{self.registry}: broke off in {name} ({_why(error)})") from None


def _why(error: BaseException) -> str:
    """The system's own words out of what urllib3 wraps them in."""
    inner = error.__cause__ or error.__context__
    reason = inner if isinstance(inner, OSError) and inner.strerror else None
    return reason.strerror if reason is not None and reason.strerror else type(error).__name__
