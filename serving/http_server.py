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


def http_server(app: Any, backlog: int, max_connections: int) -> uvicorn.Server:
    """A server for an ASGI application.

    Requests in flight get 10 s to finish when it stops. More connections than `max_connections`
    are answered with 503; those that do not bring a request's head within 10 s are closed.
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
    """uvicorn's protocol with time-outs for heads, and for bodies answered before their end.

    uvicorn would wait for either for ever, and a few thousand such connections would shut
    everybody out. The application itself sees to the pace of the bodies that it reads.
    """

    _alarm: asyncio.TimerHandle | None = None
    _in_body = False

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
        super().connection_lost(exc)

    def _set_alarm(self) -> None:
        if self._alarm is None:
            seconds = REST_TIMEOUT_S if self._in_body else HEAD_TIMEOUT_S
            self._alarm = self.loop.call_later(seconds, self.transport.close)

    def _clear_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
