"""One HTTP/1.1 connection to a server: a request, then its answer, then perhaps the next."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httptools

MAX_HEAD_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 16_000_000


class ConnectionBroken(Exception):
    """The connection ended before the answer did."""


class NoAnswer(Exception):
    """What came is no answer in HTTP, or too long for one."""


@dataclass(frozen=True)
class Reply:
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    content: bytes


class HttpConnection(asyncio.Protocol):
    """Takes one request at a time; `usable` says whether it takes another."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._begin()
        self.usable = False
        self.idle_since = 0.0  # by the loop's clock

    async def ask(self, request: tuple[bytes, ...], deadline: float) -> Reply:
        """The answer to a request.

        Args:
            request: head and body.
            deadline: by the loop's clock.

        Raises:
            ConnectionBroken: it ended before the answer did.
            NoAnswer: no HTTP, or more of it than anybody wants.
            asyncio.TimeoutError: the answer is not complete at the deadline.
        """
        assert self._transport is not None
        self.usable = False
        self._begin()
        self._answer = self._loop.create_future()
        # Both in one call to the system, so that the server wakes up once.
        self._transport.writelines(request)
        alarm = self._loop.call_at(deadline, self._fail, asyncio.TimeoutError())
        try:
            return await self._answer
        finally:
            alarm.cancel()
            self._answer = None
            self.idle_since = self._loop.time()
            if not self.usable:
                self.abort()

    def abort(self) -> None:
        """Closes it at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        endless = not {b"content-length", b"transfer-encoding"} & self._headers.keys()
        if exc is None and self._in_body and endless:
            self._complete()  # the end of the connection is that of the answer (RFC 9112, 6.3)
        else:
            self._fail(ConnectionBroken("it hung up before its answer was complete"))

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # what nobody asked for would be taken for the next answer
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(NoAnswer(str(error) or type(error).__name__))
        most = MAX_ANSWER_BYTES if self._in_body else MAX_HEAD_BYTES
        if self._received > most:
            self._fail(NoAnswer(f"more than {most} bytes"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Of an answer; were it a second one to one request, nothing more could be trusted."""
        if self._answer is None or self._answer.done():
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the head, or of what may follow a body."""
        if not self._in_body:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head of an answer, or of one that only says that the answer is on its way."""
        self._in_body = self._parser.get_status_code() >= 200
        if not self._in_body:
            self._headers.clear()

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The end of an answer."""
        if self._in_body:
            self.usable = self._parser.should_keep_alive()
            self._complete()

    def _begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._received = 0
        self._in_body = False

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(Reply(status, self._headers, b"".join(self._chunks)))

    def _fail(self, error: Exception) -> None:
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
