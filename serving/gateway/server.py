"""Runs the gateway in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable

import uvicorn
import uvloop

from serving.gateway.app import GatewayApp
from serving.gateway.batching import Batcher, Limits
from serving.gateway.big import Big
from serving.gateway.body import BodyReader
from serving.gateway.decoder import Decoder
from serving.gateway.errors import GatewayError, TooSlowError
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.options import GatewayOptions
from serving.gateway.slow import SlowModel
from serving.gateway.tensorflow_serving import LOOK_TIMEOUT_S, TensorFlowServing
from serving.http_server import http_server
from serving.options import UsageError

BACKLOG = 1024
# Far more than wait in the queue: whoever has none of its places is to be told so, with 429.
MAX_CONNECTIONS = 4096
_TRY_AGAIN_S = 0.2


def serve(
    options: GatewayOptions,
    token: bytes | None,
    slow: SlowModel | None,
    bound: socket.socket,
    when_ready: Callable[[], None],
) -> None:
    """Waits for the backend, then answers on the socket `bound` until SIGTERM or SIGINT.

    The socket listens only once the model has been seen; then `when_ready` is called. Requests in
    flight get 10 s to finish. Raises `UsageError` when the backend has no model that takes audio
    within the options' patience.
    """
    uvloop.run(_serve(options, token, slow, bound, when_ready))


async def _serve(
    options: GatewayOptions,
    token: bytes | None,
    slow: SlowModel | None,
    bound: socket.socket,
    when_ready: Callable[[], None],
) -> None:
    stopped = asyncio.Event()
    server: uvicorn.Server | None = None

    def stop(*_: object) -> None:
        stopped.set()
        if server is not None:
            server.should_exit = True

    # For signals before uvicorn's own handlers are in place, and after: it raises the one that
    # stopped it once more, and that must not end the process midway.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    metrics = GatewayMetrics()
    async with _backend(options, metrics) as (big, batcher):
        await _wait_for(big, options, stopped)
        if stopped.is_set():
            return
        watching = asyncio.get_running_loop().create_task(big.watch())
        bodies = BodyReader(options.max_bytes)
        decoder = Decoder(options.timeout_s)
        app = GatewayApp(big, batcher, slow, bodies, decoder, options.max_bytes, token, metrics)
        server = http_server(app, BACKLOG, MAX_CONNECTIONS)
        try:
            bound.listen(BACKLOG)
            when_ready()
            await server.serve(sockets=[bound])
        finally:
            watching.cancel()
            decoder.close()
            if slow is not None:
                slow.close()


@contextlib.asynccontextmanager
async def _backend(
    options: GatewayOptions, metrics: GatewayMetrics
) -> AsyncIterator[tuple[Big, Batcher]]:
    limits = Limits(options.max_batch, options.in_flight, options.queue, options.timeout_s)
    serving = TensorFlowServing(options.backend, options.name, options.timeout_s)
    big = Big(serving, metrics)
    batcher = Batcher(big.answer, limits, metrics)
    try:
        yield big, batcher
    finally:
        await batcher.close()
        await serving.close()


async def _wait_for(big: Big, options: GatewayOptions, stopped: asyncio.Event) -> None:
    """Raises `UsageError` with the last reason when the model is not there in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.patience_s
    while not stopped.is_set():
        try:
            await _look(big, stopped, max(deadline - loop.time(), LOOK_TIMEOUT_S))
        except GatewayError as error:
            if loop.time() >= deadline and not stopped.is_set():
                raise UsageError(f"{error} (waited {options.patience_s:g} s)") from error
        else:
            break
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stopped.wait(), _TRY_AGAIN_S)


async def _look(big: Big, stopped: asyncio.Event, patience_s: float) -> None:
    """One look, given up when it takes too long or nobody wants it any more."""
    looking = asyncio.ensure_future(big.look())
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({looking, stopping}, timeout=patience_s, return_when=FIRST_COMPLETED)
    stopping.cancel()
    if looking.cancel():
        await asyncio.wait({looking})
        raise TooSlowError("the model takes too long to answer")
    looking.result()
