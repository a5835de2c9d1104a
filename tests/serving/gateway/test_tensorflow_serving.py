"""What asks TensorFlow Serving, before servers that hang up, lie, or never come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from serving.gateway import tensorflow_serving
from serving.gateway.errors import AwayError, NonsenseError, TooSlowError
from serving.gateway.tensorflow_serving import TensorFlowServing

HEAD = b"HTTP/1.1 200 OK\r\n"
LIMIT_S = 30


def answer(content: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(content) + content


OK, OTHER = answer(b'{"predictions": ["1"]}'), answer(b'{"predictions": ["2"]}')
STATUS = answer(b'{"model_version_status": [{"version": "3", "state": "AVAILABLE"}]}')

Use = Callable[[TensorFlowServing], Awaitable[None]]


class Last(bytes):
    """What a server sends before it hangs up."""


class Server:
    """Sends the next of its answers to every request, and hangs up when there are none left."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.client_left = asyncio.Event()
        self._answers = list(answers)
        self._writer: asyncio.StreamWriter | None = None

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writer = writer
        answer = b""
        while self._answers and not isinstance(answer, Last):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (EOFError, OSError):
                self.client_left.set()
                break
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            self.requests.append(head + await reader.readexactly(size))
            answer = self._answers.pop(0)
            writer.write(answer)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    def send(self, unasked: bytes) -> None:
        """Over the newest connection."""
        assert self._writer is not None
        self._writer.write(unasked)


def run(server: Server, use: Use, path: str = "", timeout_s: float = LIMIT_S) -> None:
    """Starts the server, and hands what asks it to `use`."""

    async def main() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        try:
            await use_of(f"http://127.0.0.1:{port}{path}", use, timeout_s)
        finally:
            listening.close()

    uvloop.run(main())


async def use_of(url: str, use: Use, timeout_s: float = LIMIT_S) -> None:
    serving = TensorFlowServing(url, "big", timeout_s)
    try:
        await asyncio.wait_for(use(serving), LIMIT_S)
    finally:
        await serving.close()


async def ask(serving: TensorFlowServing) -> int:
    """One POST; what `OK` answers is 1."""
    value = await serving.specification(4)
    assert isinstance(value, int)
    return value


def test_a_connection_is_kept_and_requests_are_whole():
    server = Server(answer(OK.partition(b"\r\n\r\n")[2], HEAD + b"Set-Cookie: a=b\r\n"), STATUS, OK)

    async def use(serving: TensorFlowServing) -> None:
        assert await ask(serving) == 1
        assert await serving.newest_version() == 3
        assert await ask(serving) == 1

    run(server, use, "/behind/a%20proxy")
    assert server.connections == 1
    post, get, _ = server.requests
    assert post.startswith(b"POST /behind/a%20proxy/v1/models/big/versions/4:predict HTTP/1.1\r\n")
    assert post.endswith(b'\r\n\r\n{"signature_name": "specification", "instances": ["?"]}')
    assert b"\r\nContent-Type: application/json\r\n" in post
    assert get.startswith(b"GET /behind/a%20proxy/v1/models/big HTTP/1.1\r\n")
    for request in server.requests:
        assert b"\r\nAccept-Encoding: identity\r\n" in request
        assert b"cookie" not in request.lower()


def test_a_batch_of_more_than_a_megabyte_arrives_whole():
    server = Server(answer(b'{"predictions": []}'))
    inputs = [bytes(32_000)] * 40

    async def use(serving: TensorFlowServing) -> None:
        with pytest.raises(NonsenseError, match="40 predictions"):
            await serving.classify(inputs)

    run(server, use)
    (request,) = server.requests
    assert request.count(b'{"b64":"') == 40
    assert request.endswith(b'"}]}')


def test_no_proxy_of_the_environment_is_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def use(serving: TensorFlowServing) -> None:
        assert await ask(serving) == 1

    run(Server(OK), use)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nCont"])
def test_what_breaks_before_an_answer_is_asked_once_more_and_then_no_more(sent):
    server = Server(OK, Last(sent), OK, Last(sent), Last(sent), OK)

    async def use(serving: TensorFlowServing) -> None:
        for _ in range(2):
            assert await ask(serving) == 1
        with pytest.raises(NonsenseError, match="hung up"):
            await ask(serving)

    run(server, use)
    assert len(server.requests) == 5


def test_a_look_is_asked_once_more_and_then_no_more():
    server = Server(STATUS, Last(b""), STATUS, Last(b""), Last(b""), STATUS)

    async def use(serving: TensorFlowServing) -> None:
        for _ in range(2):
            assert await serving.newest_version() == 3
        with pytest.raises(NonsenseError, match="hung up"):
            await serving.newest_version()

    run(server, use)
    assert len(server.requests) == 5


def test_what_breaks_within_an_answer_is_not_asked_again():
    server = Server(Last(OK[:-1]), OK)

    async def use(serving: TensorFlowServing) -> None:
        with pytest.raises(NonsenseError, match="not completed"):
            await ask(serving)

    run(server, use)
    assert len(server.requests) == 1


def test_a_server_that_closed_its_connection_meanwhile_is_asked_over_another():
    server = Server(Last(OK), Last(OK), Last(OK))

    async def use(serving: TensorFlowServing) -> None:
        for _ in range(3):
            assert await ask(serving) == 1

    run(server, use)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-nothing of yours\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        answer(bytes(4_000_000)),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 3000 * b"1\r\nx\r\n",
        HEAD + b"\r\n" + bytes(4000),
        answer(gzip.compress(b'{"predictions": ["1"]}'), HEAD + b"Content-Encoding: gzip\r\n"),
        answer(b"", b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\n"),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_nonsense_and_what_has_no_end_is_no_answer(nonsense, monkeypatch):
    monkeypatch.setattr(tensorflow_serving, "MAX_ANSWER_BYTES", 2000)
    server = Server(nonsense, OK)

    async def use(serving: TensorFlowServing) -> None:
        with pytest.raises(NonsenseError):
            await ask(serving)
        assert await ask(serving) == 1

    run(server, use)
    assert len(server.requests) == 2


@pytest.mark.parametrize("at_once", [True, False])
def test_what_follows_an_answer_is_not_the_next(at_once):
    server = Server(OK + OTHER if at_once else OK, OK, STATUS, STATUS)

    async def use(serving: TensorFlowServing) -> None:
        assert await ask(serving) == 1
        if not at_once:
            await arrived(server, OTHER)
        assert await ask(serving) == 1
        assert await serving.newest_version() == 3
        if not at_once:
            await arrived(server, OTHER)
        assert await serving.newest_version() == 3

    run(server, use)
    assert server.connections == (2 if at_once else 3)


async def arrived(server: Server, unasked: bytes) -> None:
    """Sends it, and gives the loop that both ends are in the time to take it in."""
    server.send(unasked)
    for _ in range(10):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("silence", [b"", HEAD + b"Content-Length: 2\r\n\r\n"])
def test_no_answer_in_time_ends_the_connection(silence):
    server = Server(silence, OK)

    async def use(serving: TensorFlowServing) -> None:
        with pytest.raises(TooSlowError):
            await ask(serving)
        await server.client_left.wait()

    run(server, use, timeout_s=0.1)
    assert len(server.requests) == 1


def test_who_no_longer_wants_an_answer_ends_the_connection():
    server = Server(b"", OK)

    async def use(serving: TensorFlowServing) -> None:
        asking = asyncio.ensure_future(ask(serving))
        while not server.requests:
            await asyncio.sleep(0.01)
        asking.cancel()
        await server.client_left.wait()
        assert await ask(serving) == 1

    run(server, use)


async def expect_nobody(serving: TensorFlowServing) -> None:
    with pytest.raises(AwayError, match="nobody answers"):
        await ask(serving)


def test_who_lets_nobody_in_is_away(monkeypatch):
    monkeypatch.setattr(tensorflow_serving, "CONNECT_TIMEOUT_S", 0.1)
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the last of them already wait
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        uvloop.run(use_of(f"http://127.0.0.1:{full.getsockname()[1]}", expect_nobody))


def test_tls_is_spoken_to_https_and_to_nobody_unknown():
    server = Server(OK)

    async def use(serving: TensorFlowServing) -> None:
        await use_of(serving.url.replace("http:", "https:"), expect_nobody)

    run(server, use)
    assert server.requests == []
