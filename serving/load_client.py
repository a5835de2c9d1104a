"""A lean HTTP/1.1 load client: keep-alive connections that ask the same question over and over.

It shares the processors with the server it measures, so it does as little as it can for a request.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import uvloop

REQUEST_TIMEOUT_S = 60
MAX_HEADER_BYTES = 16_000


class LoadError(RuntimeError):
    """An answer other than 200, or none at all."""


@dataclass(frozen=True)
class Load:
    """Requests a second and latencies in milliseconds: medians over the rounds."""

    connections: int
    requests_per_second: float
    p50_ms: float
    p95_ms: float


def measure(
    url: str,
    path: str,
    body: bytes,
    connections: int,
    seconds: float,
    rounds: int,
) -> Load:
    """POSTs `body` to `url` + `path` on all connections at once, for `seconds` in each round.

    A round of warm-up comes before and is not counted. Raises `LoadError` unless every answer is
    a 200.
    """
    parts = urlsplit(url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode("ascii") + body
    host, port = parts.hostname or "", parts.port or 80

    async def all_rounds() -> list[list[float]]:
        return [await _round(host, port, request, connections, seconds) for _ in range(rounds + 1)]

    loop = uvloop.new_event_loop()
    try:
        latencies = loop.run_until_complete(all_rounds())[1:]
    finally:
        loop.close()
    return Load(
        connections,
        statistics.median(len(each) / seconds for each in latencies),
        statistics.median(_percentile_ms(each, 50) for each in latencies),
        statistics.median(_percentile_ms(each, 95) for each in latencies),
    )


def _percentile_ms(latencies: Sequence[float], percent: float) -> float:
    return float(np.percentile(latencies, percent)) * 1000


async def _round(
    host: str, port: int, request: bytes, connections: int, seconds: float
) -> list[float]:
    end = time.perf_counter() + seconds
    try:
        each = await asyncio.wait_for(
            asyncio.gather(*(_ask(host, port, request, end) for _ in range(connections))),
            seconds + REQUEST_TIMEOUT_S,
        )
    except (OSError, EOFError, asyncio.TimeoutError) as error:
        raise LoadError(f"no answer from {host}:{port}: {error or type(error).__name__}") from error
    return [latency for latencies in each for latency in latencies]


async def _ask(host: str, port: int, request: bytes, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port, limit=MAX_HEADER_BYTES)
    latencies = []
    try:
        while (started := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await reader.readexactly(content_length(head))
            latencies.append(time.perf_counter() - started)
            if not head.startswith(b"HTTP/1.1 200"):
                raise LoadError(f"{head.split(b' ', 2)[1].decode()}: {answer[:300].decode()}")
    finally:
        writer.close()
    return latencies


def content_length(head: bytes) -> int:
    """Bytes of the body that follows an answer's head. Raises `LoadError` where it says none."""
    _, found, rest = head.lower().partition(b"content-length:")
    if not found:
        raise LoadError("an answer without Content-Length")
    return int(rest.partition(b"\r\n")[0])
