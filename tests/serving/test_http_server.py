"""The time-outs that uvicorn lacks, on connections that send a byte now and then."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from serving import http_server

LIMIT_S = 30
LONG = 16_000_000  # bytes, more than systems keep for a connection
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


async def app(scope, receive, send):
    """Answers `/` once it has the body, other paths without reading it; `/long` at length."""
    if scope["path"] == "/long":
        head = [(b"content-length", str(LONG).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": bytes(LONG)})
        return
    while scope["path"] == "/" and (await receive()).get("more_body"):
        pass
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(http_server, "HEAD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http_server, "REST_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http_server, "UNSENT_LOOK_S", 0.3)
    server = http_server.http_server(app, 16, 16)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(LIMIT_S)


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as opened:
        yield opened


def ask(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 1\r\n\r\n")
    time.sleep(0.6)  # twice the time-out: it is not about bodies
    connection.sendall(b"x")
    answer(connection)


def answer(connection: socket.socket) -> None:
    got = b""
    while not got.endswith(b"ok"):
        part = connection.recv(1000)
        assert part, got
        got += part


def hung_up_while_dripping(connection: socket.socket, drip: bytes) -> bool:
    deadline = time.monotonic() + LIMIT_S / 3
    connection.settimeout(0.05)
    while time.monotonic() < deadline:
        try:
            connection.sendall(drip)
            if connection.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize("beginning", [b"", b"\r\n", HEAD])
def test_a_head_that_does_not_end_is_not_waited_for(connection, beginning):
    connection.sendall(beginning)
    assert hung_up_while_dripping(connection, b"")


def test_a_dripping_head_is_not_waited_for(connection):
    connection.sendall(HEAD)
    assert hung_up_while_dripping(connection, b"X: y\r\n")


@pytest.mark.parametrize(("beginning", "drip"), [(HEAD, b"X: y\r\n"), (b"", b"\r\n")])
def test_nor_is_the_next_head_on_the_same_connection(connection, beginning, drip):
    ask(connection)
    ask(connection)
    connection.sendall(beginning)
    assert hung_up_while_dripping(connection, drip)


def test_nor_is_the_rest_of_a_body_once_it_is_answered(connection):
    connection.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    answer(connection)
    assert hung_up_while_dripping(connection, b" ")


def test_who_does_not_take_the_answer_is_not_waited_for(connection):
    connection.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(1.5)
    got = 0
    try:
        while part := connection.recv(2**20):
            got += len(part)
    except ConnectionResetError:
        pass
    assert got < LONG


def test_who_takes_the_answer_slowly_gets_all_of_it(connection):
    connection.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
    got = 0
    while got < LONG:
        part = connection.recv(400_000)
        assert part
        got += len(part)
        time.sleep(0.02)
