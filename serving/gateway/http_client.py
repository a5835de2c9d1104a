"""HTTP/1.1 to one server over kept connections, with little in between.

A client for everything (redirects, cookies, proxies, HTTP/2) cost a request more of the gateway's
time than all else that the gateway does for it.
"""

from __future__ import annotations

import asyncio
import socket

import httpx

from serving.gateway.http_connection import ConnectionBroken, HttpConnection, Reply

CONNECT_TIMEOUT_S = 2.0
KEEP_S = 5.0  # an idle connection, for who knows what has become of the other end


class NobodyThere(Exception):
    """No connection to the server."""


class HttpClient:
    """Asks one server; it has as many connections as there are callers at a time.

    It belongs to the event loop it is first used in.
    """

    def __init__(self, url: str) -> None:
        parsed = httpx.URL(url)
        secure = parsed.scheme == "https"
        self._host = parsed.raw_host.decode("ascii")
        self._port = parsed.port or (443 if secure else 80)
        self._authority = parsed.netloc
        self._prefix = parsed.raw_path.rstrip(b"/")
        self._tls = httpx.create_ssl_context(trust_env=False) if secure else None
        self._idle: list[HttpConnection] = []  # last used last

    async def exchange(self, method: str, path: str, body: bytes, timeout_s: float) -> Reply:
        """The answer to one request.

        Asking again does no harm, so it does, once, where the connection breaks before the answer
        is there: a kept one may turn out to have been closed meanwhile.

        Args:
            method: GET or POST.
            path: below the server's URL.
            body: JSON, or nothing.
            timeout_s: for all of it.

        Raises:
            NobodyThere: it cannot be reached.
            ConnectionBroken, NoAnswer: what comes back is no answer.
            asyncio.TimeoutError: it is not complete in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        request = (self._head(method, path, len(body)), body)
        connection = self._kept() or await self._connect(deadline)
        try:
            reply = await connection.ask(request, deadline)
        except ConnectionBroken:
            connection = await self._connect(deadline)
            reply = await connection.ask(request, deadline)
        if connection.usable:
            self._idle.append(connection)
        return reply

    def close(self) -> None:
        """Closes the connections that nobody uses at the moment."""
        while self._idle:
            self._idle.pop().abort()

    def _head(self, method: str, path: str, size: int) -> bytes:
        lines = b"%b %b%b HTTP/1.1\r\nHost: %b\r\nAccept-Encoding: identity\r\n" % (
            method.encode("ascii"),
            self._prefix,
            path.encode("ascii"),
            self._authority,
        )
        if size:
            lines += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % size
        return lines + b"\r\n"

    def _kept(self) -> HttpConnection | None:
        oldest = asyncio.get_running_loop().time() - KEEP_S
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since >= oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self, deadline: float) -> HttpConnection:
        loop = asyncio.get_running_loop()
        until = min(deadline, loop.time() + CONNECT_TIMEOUT_S)
        try:
            opened = await self._opened(until)
            try:
                connecting = loop.create_connection(
                    HttpConnection,
                    sock=opened,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
                _, connection = await asyncio.wait_for(connecting, until - loop.time())
            except BaseException:
                opened.close()
                raise
        except (OSError, asyncio.TimeoutError) as error:
            raise NobodyThere(str(error)) from error
        return connection

    async def _opened(self, until: float) -> socket.socket:
        """Connected to the first of the host's addresses that lets us in.

        Each gets its share of the time, for the first may be of a network that leads nowhere.
        """
        loop = asyncio.get_running_loop()
        addresses = await asyncio.wait_for(
            loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM), until - loop.time()
        )
        for left in range(len(addresses), 0, -1):
            family, kind, protocol, _, address = addresses[-left]
            opened = socket.socket(family, kind, protocol)
            try:
                opened.setblocking(False)
                share_s = (until - loop.time()) / left
                await asyncio.wait_for(loop.sock_connect(opened, address), share_s)
                return opened
            except BaseException as error:
                opened.close()
                if left == 1 or not isinstance(error, OSError | asyncio.TimeoutError):
                    raise
        raise OSError("a name without addresses")
