"""A load client that asks at a given rate, whether or not the answers keep up.

A closed loop slows down with the server it measures; devices do not. A request's latency counts
from the moment it was due, so that a client that falls behind cannot flatter the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import uvloop

from serving.load_client import MAX_HEADER_BYTES, LoadError, content_length

REQUEST_TIMEOUT_S = 30
MAX_CONNECTIONS = 512


@dataclass
class OpenLoad:
    """What became of every request: the answers' statuses, and how many got none."""

    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    latencies_s: list[float] = field(default_factory=list)  # of the answers with status 200

    @property
    def sent(self) -> int:
        """Requests in all."""
        return sum(self.statuses.values()) + self.lost

    def percentile_ms(self, percent: float) -> float:
        """Of the latencies of answers with status 200; NaN where there are none."""
        return float(np.percentile(self.latencies_s or [np.nan], percent)) * 1000


def ask_at_rate(url: str, path: str, body: bytes, rate: float, seconds: float) -> OpenLoad:
    """POSTs `body` at `rate` a second on average, at random moments, for `seconds`."""
    due = np.random.default_rng(0).exponential(1 / rate, round(rate * seconds)).cumsum()
    return uvloop.run(_OpenLoop(url, path, body).run(due.tolist()))


class _OpenLoop:
    def __init__(self, url: str, path: str, body: bytes) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode("ascii") + body
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._load = OpenLoad()

    async def run(self, due: list[float]) -> OpenLoad:
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(MAX_CONNECTIONS)
        began = loop.time()
        tasks = []
        for moment in due:
            await asyncio.sleep(began + moment - loop.time())
            tasks.append(loop.create_task(self._ask(began + moment, places)))
        await asyncio.gather(*tasks)
        for _, writer in self._idle:
            writer.close()
        return self._load

    async def _ask(self, due: float, places: asyncio.Semaphore) -> None:
        try:
            async with places:
                status = await asyncio.wait_for(self._exchange(), REQUEST_TIMEOUT_S)
        except (OSError, EOFError, LoadError, asyncio.TimeoutError):
            self._load.lost += 1
            return
        self._load.statuses[status] += 1
        if status == 200:
            self._load.latencies_s.append(asyncio.get_running_loop().time() - due)

    async def _exchange(self) -> int:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(*self._address, limit=MAX_HEADER_BYTES)
        with contextlib.ExitStack() as stack:
            stack.callback(writer.close)
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(content_length(head))
            stack.pop_all()
        self._idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])
