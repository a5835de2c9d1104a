"""A request's body: read within bounds of size and time, and its form by its content type."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.types import Receive

from edge_client.senml import Form
from serving.gateway.errors import (
    BusyError,
    ContentTypeError,
    MalformedError,
    SlowClientError,
    TooLargeError,
)

CHUNK_TIMEOUT_S = 10
BODY_TIMEOUT_S = 60
# What is sent beyond the limit is still received up to here, and thrown away.
MAX_THROWN_AWAY = 64 * 2**20
_UTF8 = ("", "utf-8", "utf8", "us-ascii")


class ClientGone(Exception):
    """The client closed the connection before it had its answer."""


class BodyReader:
    """Reads bodies of at most `max_bytes` each, and holds a multiple of that in all."""

    def __init__(self, max_bytes: int, at_once: int = 16) -> None:
        self._max_bytes = max_bytes
        self._max_held = at_once * max_bytes
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
            SlowClientError: it does not come.
            BusyError: too many bodies at once.
            ClientGone: it ended midway.
        """
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit():
            raise MalformedError("Content-Length is no number")
        endless = b"content-length" not in headers or int(declared) > MAX_THROWN_AWAY
        if int(declared) > self._max_bytes:
            raise self._too_large(endless)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BODY_TIMEOUT_S
        size, more = 0, True
        while more:
            patience = min(CHUNK_TIMEOUT_S, deadline - loop.time())
            try:
                message = await asyncio.wait_for(receive(), patience)
            except asyncio.TimeoutError:
                raise SlowClientError("the body does not come; send it again") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large(endless)
            if self._held + len(chunk) > self._max_held:
                raise BusyError("too many requests are being received", after_s=1)
            chunks.append(chunk)
            self._held += len(chunk)
            more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self, endless: bool) -> TooLargeError:
        return TooLargeError(f"more than the {self._max_bytes} bytes that are taken", endless)


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
