"""The client before TensorFlow Serving, and servers that hang up, lie, or never come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from serving.gateway import http_connection
from serving.gateway.http_client import HttpClient, NobodyThere
from serving.gateway.http_connection import ConnectionBroken, NoAnswer, Reply

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
OK = HEAD + b"\r\nok"
BODY = b'{"instances":[]}'
LIMIT_S = 30

Use = Callable[[HttpClient, int], Awaitable[None]]


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


def run(server: Server, use: Use, path: str = "") -> None:
    """Starts the server, and hands a client of it and its port to `use`."""

    async def main() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = HttpClient(f"http://127.0.0.1:{port}{path}")
        try:
            await asyncio.wait_for(use(client, port), LIMIT_S)
        finally:
            client.close()
            listening.close()

    uvloop.run(main())


async def ask(client: HttpClient, timeout_s: float = LIMIT_S) -> Reply:
    return await client.exchange("POST", "/v1/models/big:predict", BODY, timeout_s)


def test_a_connection_is_kept_and_requests_are_whole():
    server = Server(OK, OK, OK)

    async def use(client: HttpClient, port: int) -> None:
        for _ in range(2):
            reply = await ask(client)
            assert (reply.status, reply.content) == (200, b"ok")
            assert reply.headers[b"content-length"] == b"2"
        await client.exchange("GET", "/v1/models/big", b"", LIMIT_S)
        host = f"\r\nHost: 127.0.0.1:{port}\r\n".encode()
        assert all(host in request for request in server.requests)

    run(server, use, "/behind/a%20proxy/")
    assert server.connections == 1
    post, _, get = server.requests
    assert post.startswith(b"POST /behind/a%20proxy/v1/models/big:predict HTTP/1.1\r\n")
    assert post.endswith(b"\r\n\r\n" + BODY)
    assert get.startswith(b"GET /behind/a%20proxy/v1/models/big HTTP/1.1\r\n")
    assert b"content-" not in get.lower()


@pytest.mark.parametrize(
    ("answer", "content", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok", 1),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + OK, b"ok", 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", 1),
        (HEAD + b"Connection: close\r\n\r\nok", b"ok", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", 2),
        (Last(b"HTTP/1.1 200 OK\r\n\r\nok"), b"ok", 2),
    ],
)
def test_answers_end_in_different_ways(answer, content, connections):
    server = Server(answer, OK)

    async def use(client: HttpClient, _: int) -> None:
        assert (await ask(client)).content == content
        assert (await ask(client)).content == b"ok"

    run(server, use)
    assert server.connections == connections


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nCont", HEAD + b"\r\no"])
def test_what_breaks_before_the_answer_is_asked_once_more_and_then_no_more(sent):
    server = Server(OK, Last(sent), OK, Last(sent), Last(sent), OK)

    async def use(client: HttpClient, _: int) -> None:
        for _ in range(2):
            assert (await ask(client)).content == b"ok"
        with pytest.raises(ConnectionBroken):
            await ask(client)

    run(server, use)
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-nothing of yours\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\n" + 2000 * b"X: y\r\n",
        1000 * b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + bytes(4_000_000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 1000 * b"1\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(4000),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_nonsense_and_what_has_no_end_is_no_answer(nonsense, monkeypatch):
    monkeypatch.setattr(http_connection, "MAX_HEAD_BYTES", 1000)
    monkeypatch.setattr(http_connection, "MAX_ANSWER_BYTES", 2000)
    server = Server(nonsense, OK)

    async def use(client: HttpClient, _: int) -> None:
        with pytest.raises(NoAnswer):
            await ask(client)
        assert (await ask(client)).content == b"ok"

    run(server, use)
    assert server.connections == 2


@pytest.mark.parametrize("surplus", [HEAD + b"\r\nno", b"\r\n\r\nHTTP", b"no"])
def test_what_follows_an_answer_is_not_the_next(surplus):
    server = Server(OK + surplus, OK)

    async def use(client: HttpClient, _: int) -> None:
        assert (await ask(client)).content == b"ok"
        assert (await ask(client)).content == b"ok"

    run(server, use)
    assert server.connections == 2


def test_what_comes_unasked_is_not_the_next_answer():
    server = Server(OK, OK)

    async def use(client: HttpClient, _: int) -> None:
        assert (await ask(client)).content == b"ok"
        server.send(HEAD + b"\r\nno")
        await server.client_left.wait()
        assert (await ask(client)).content == b"ok"

    run(server, use)
    assert server.connections == 2


def test_no_answer_in_time_ends_the_connection():
    server = Server(b"", OK)

    async def use(client: HttpClient, _: int) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await ask(client, timeout_s=0.1)
        await server.client_left.wait()

    run(server, use)
    assert len(server.requests) == 1


def test_who_no_longer_wants_an_answer_ends_the_connection():
    server = Server(b"", OK)

    async def use(client: HttpClient, _: int) -> None:
        asking = asyncio.ensure_future(ask(client))
        while not server.requests:
            await asyncio.sleep(0.01)
        asking.cancel()
        await server.client_left.wait()
        assert (await ask(client)).content == b"ok"

    run(server, use)


def test_a_server_that_closed_its_connection_meanwhile_is_asked_over_another():
    server = Server(Last(OK), Last(OK), Last(OK))

    async def use(client: HttpClient, _: int) -> None:
        for _ in range(3):
            assert (await ask(client)).content == b"ok"

    run(server, use)
    assert len(server.requests) == 3


def test_a_connection_long_idle_is_not_trusted(monkeypatch):
    monkeypatch.setattr("serving.gateway.http_client.KEEP_S", -1.0)
    server = Server(OK, OK)

    async def use(client: HttpClient, _: int) -> None:
        await ask(client)
        await ask(client)

    run(server, use)
    assert server.connections == 2


def test_every_caller_at_a_time_has_a_connection():
    server = Server(*[OK] * 6)

    async def use(client: HttpClient, _: int) -> None:
        for _ in range(2):
            replies = await asyncio.gather(*(ask(client) for _ in range(3)))
            assert [reply.content for reply in replies] == [b"ok"] * 3

    run(server, use)
    assert server.connections == 3


def test_all_addresses_of_a_host_are_tried():
    server = Server(OK)
    with socket.socket() as taken:  # and never listened to
        taken.bind(("127.0.0.1", 0))

        async def use(_: HttpClient, port: int) -> None:
            loop = asyncio.get_running_loop()
            resolve = loop.getaddrinfo
            kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            found = [(*kind, taken.getsockname()), (*kind, ("127.0.0.1", port))]

            async def getaddrinfo(host: str, *where: Any, **how: Any) -> Any:
                return found if host == "big.example" else await resolve(host, *where, **how)

            loop.getaddrinfo = getaddrinfo
            client = HttpClient(f"http://big.example:{port}")
            assert (await ask(client)).content == b"ok"
            found.pop()
            with pytest.raises(NobodyThere):
                await ask(client)
            client.close()

        run(server, use)


def test_tls_is_spoken_to_https_and_to_nobody_unknown():
    server = Server(OK)

    async def use(_: HttpClient, port: int) -> None:
        with pytest.raises(NobodyThere):
            await ask(HttpClient(f"https://127.0.0.1:{port}"))

    run(server, use)
    assert server.requests == []
