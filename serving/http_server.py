"""The HTTP server under our applications: uvicorn, with the time-outs that it lacks."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

GRACE_S = 10
KEEP_ALIVE_S = 75
HEAD_TIMEOUT_S = 10
REST_TIMEOUT_S = 60  # for a body of which the answer did not wait for the end
UNSENT_LOOK_S = 30  # between two looks at an answer that the client does not take at once ...
UNSENT_PACE = 1000  # ... and what it is to have taken in between, bytes a second


def http_server(app: Any, backlog: int, max_connections: int) -> uvicorn.Server:
    """A server for an ASGI application.

    Requests in flight get 10 s to finish when it stops. More connections than `max_connections`
    are answered with 503; those that do not bring a request's head within 10 s, or do not take
    what they asked for, are closed.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="none",
            loop="uvloop",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=backlog,
            limit_concurrency=max_connections,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with time-outs for heads, bodies answered before their end, and answers.

    uvicorn would wait for each for ever, and a few thousand such connections would shut everybody
    out. The application itself sees to the pace of the bodies that it reads.
    """

    _alarm: asyncio.TimerHandle | None = None
    _in_body = False
    _look: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_alarm()

    def data_received(self, data: bytes) -> None:
        # The first byte after an answer ends uvicorn's own time-out, that of a kept connection.
        if self.cycle is None or self.cycle.response_complete:
            self._set_alarm()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._clear_alarm()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_alarm()
        self._clear_look()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        self._clear_look()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # Closed is a connection once the rest is sent, which may be little and yet not be taken.
        self._look_later()

    def _look_later(self) -> None:
        self._clear_look()
        self._unsent = self.transport.get_write_buffer_size()
        if self._unsent:
            self._look = self.loop.call_later(UNSENT_LOOK_S, self._look_at_unsent)

    def _look_at_unsent(self) -> None:
        if self.transport.get_write_buffer_size() > self._unsent - UNSENT_LOOK_S * UNSENT_PACE:
            self.transport.abort()
        else:
            self._look_later()

    def _clear_look(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _set_alarm(self) -> None:
        if self._alarm is None:
            seconds = REST_TIMEOUT_S if self._in_body else HEAD_TIMEOUT_S
            self._alarm = self.loop.call_later(seconds, self.transport.close)

    def _clear_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
