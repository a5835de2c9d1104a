"""A request's body: read within bounds of size and time, and its form by its content type."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from starlette.types import Message, Receive

from edge_client.senml import Form
from serving.gateway.errors import (
    BusyError,
    ContentTypeError,
    MalformedError,
    SlowClientError,
    TooLargeError,
)

# A second of audio fits, as float32 too; who sends more may have to stand back.
LONG_BODY_BYTES = 128 * 1024
STALL_S = 10
PACE = 64_000  # bytes a second, below which the patience wears out
_SHARE_OF_LONG = 0.75  # of the room, so that many long bodies leave some to short ones
# What is sent beyond the limit is still received up to here, and thrown away.
MAX_THROWN_AWAY = 64 * 2**20
T = TypeVar("T")

_UTF8 = ("", "utf-8", "utf8", "us-ascii")


class ClientGone(Exception):
    """The client closed the connection before it had its answer."""


class BodyReader:
    """Reads bodies of at most `max_bytes` each, and holds a multiple of that in all."""

    def __init__(self, max_bytes: int, at_once: int = 16) -> None:
        self._max_bytes = max_bytes
        self._room = at_once * max_bytes
        self._room_for_long = int(_SHARE_OF_LONG * self._room)
        self._held = 0

    @contextmanager
    def room(self) -> Iterator[list[bytes]]:
        """Where chunks are kept; what they take is given back at the end of the block."""
        chunks: list[bytes] = []
        try:
            yield chunks
        finally:
            self._held -= sum(map(len, chunks))

    async def read(
        self, headers: Mapping[bytes, bytes], receive: Receive, chunks: list[bytes]
    ) -> bytes:
        """The body; `chunks` is room for it.

        Raises:
            TooLargeError: more than `max_bytes`, by its head or as it comes.
            SlowClientError: it does not come, or too slowly.
            BusyError: too many bodies at once; long ones are the first to be told.
            ClientGone: it ended midway.
        """
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit():
            raise MalformedError("Content-Length is no number")
        endless = b"content-length" not in headers or int(declared) > MAX_THROWN_AWAY
        if int(declared) > self._max_bytes:
            raise self._too_large(endless)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STALL_S
        size, more = 0, True
        while more:
            try:
                message = await asyncio.wait_for(receive(), deadline - loop.time())
            except asyncio.TimeoutError:
                raise SlowClientError("the body does not come; send it again") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large(endless)
            room = self._room_for_long if size > LONG_BODY_BYTES else self._room
            if self._held + len(chunk) > room:
                raise BusyError("too many requests are being received", after_s=1)
            # Bytes buy time, but no more than a stall's: nobody keeps room by sending a little.
            deadline = min(deadline + len(chunk) / PACE, loop.time() + STALL_S)
            chunks.append(chunk)
            self._held += len(chunk)
            more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self, endless: bool) -> TooLargeError:
        return TooLargeError(f"more than the {self._max_bytes} bytes that are taken", endless)


async def unless_gone(answer: asyncio.Future[T], receive: Receive) -> T:
    """The answer, unless the client hangs up before; then nobody waits for it any more.

    Raises `ClientGone`, or whatever `answer` does.
    """
    listening: asyncio.Future[Message] = asyncio.ensure_future(_message(receive))
    listening.add_done_callback(lambda _: answer.cancel())
    try:
        return await answer
    except asyncio.CancelledError:
        if listening.done() and not listening.cancelled():
            raise ClientGone from None
        answer.cancel()
        raise
    finally:
        listening.cancel()


async def _message(receive: Receive) -> Message:
    return await receive()


def form_of(headers: Mapping[bytes, bytes]) -> Form | None:
    """The form that the head says the body has; None where the body itself must tell.

    Raises `ContentTypeError` for a form that is not taken.
    """
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise ContentTypeError("a packed body is not taken; send it without Content-Encoding")
    text = headers.get(b"content-type", b"").decode("latin-1")
    kind, _, parameters = text.partition(";")
    charset = parameters.lower().partition("charset=")[2].partition(";")[0].strip(' "')
    forms = {
        "": None,
        "application/json": None,
        "application/senml+json": Form.JSON,
        "application/senml+cbor": Form.CBOR,
    }
    if kind.strip().lower() not in forms or charset not in _UTF8:
        raise ContentTypeError(
            f"Content-Type {text[:100]!r}: application/senml+json, application/senml+cbor and "
            "application/json are taken"
        )
    return forms[kind.strip().lower()]
