"""Limits, metrics and manners of the embedded server over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.embedded import app
from serving.embedded.app import MAX_IN_FLIGHT, METRICS_PATH
from serving.embedded.inference import MAX_BODY_BYTES
from serving.embedded.metrics import ServerMetrics
from serving.embedded.versions import VersionManager
from tests.serving.exchange import post_json, send

SCALE = "/v1/models/scale:predict"


@pytest.fixture
def embedded(server):
    """The server under test, where it is ours: the real one has no such limits."""
    if not server.embedded:
        pytest.skip("about the embedded server")
    return server.url


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)


def test_a_declared_body_beyond_the_limit_is_refused_before_it_is_sent(embedded):
    connection = connect(embedded)
    connection.putrequest("POST", SCALE)
    connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert str(MAX_BODY_BYTES) in json.loads(response.read())["error"]


def test_a_chunked_body_beyond_the_limit_is_refused(embedded):
    parts = urlsplit(embedded)
    head = f"POST {SCALE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with socket.create_connection((parts.hostname, parts.port), 60) as connection:
        connection.sendall(head.encode())
        answer = b""
        try:
            for _ in range(MAX_BODY_BYTES // 0x100000 + 2):
                connection.sendall(chunk)
            answer = connection.recv(1000)
        except ConnectionError:  # it hung up while we were still sending
            pass
    assert answer == b"" or b" 413 " in answer
    assert post_json(embedded, SCALE, {"instances": [1.0]}).status == 200


def test_a_gzip_bomb_is_refused(embedded):
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES + 1))
    answer = send(embedded, "POST", SCALE, bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert "unpacked as well" in answer.json["error"]


def test_deep_nesting_is_refused_and_nothing_breaks(embedded):
    answer = send(embedded, "POST", SCALE, b'{"instances":' + b"[" * 50_000)
    assert answer.status == 400
    assert "nested" in answer.json["error"]
    assert post_json(embedded, SCALE, {"instances": [1.0]}).status == 200


def test_a_client_that_goes_away_midway_does_no_harm(embedded):
    for _ in range(3):
        connection = connect(embedded)
        connection.putrequest("POST", SCALE)
        connection.putheader("Content-Length", "1000")
        connection.endheaders()
        connection.send(b"{")
        connection.close()
    assert post_json(embedded, SCALE, {"instances": [1.0]}).status == 200


def test_slow_requests_do_not_hold_up_others(embedded):
    """While one model works, others answer: they have threads of their own."""
    finished = threading.Event()
    slow: list[int] = []

    def ask_slowly() -> None:
        body = {"signature_name": "looped", "inputs": [300_000]}
        slow.append(post_json(embedded, "/v1/models/kinds:predict", body).status)
        finished.set()

    client = threading.Thread(target=ask_slowly)
    client.start()
    answered_meanwhile = 0
    while not finished.is_set():
        assert post_json(embedded, SCALE, {"instances": [1.0]}).status == 200
        answered_meanwhile += not finished.is_set()
    client.join()
    assert slow == [200]
    assert answered_meanwhile > 0


def test_too_many_requests_at_once_are_told_to_come_back(embedded):
    """Requests whose bodies never end fill every place; the next one is not left waiting."""
    parts = urlsplit(embedded)
    head = f"POST {SCALE} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode()
    waiting = []
    try:
        for _ in range(MAX_IN_FLIGHT):
            connection = socket.create_connection((parts.hostname, parts.port), 60)
            connection.sendall(head)
            waiting.append(connection)
        statuses = {post_json(embedded, SCALE, {"instances": [1.0]}).status for _ in range(200)}
        assert 503 in statuses
        assert send(embedded, "GET", "/v1/models/scale").status == 200
    finally:
        for connection in waiting:
            connection.close()
    while post_json(embedded, SCALE, {"instances": [1.0]}).status != 200:
        pass


def test_bodies_half_received_count_towards_the_memory_allowed(monkeypatch):
    """Clients that send much and never end must not fill the memory together."""
    monkeypatch.setattr(app, "MAX_BYTES_IN_FLIGHT", 100)
    api = app.RestApi(VersionManager([], ServerMetrics()), ServerMetrics())
    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": SCALE.encode(),
        "query_string": b"",
        "headers": [],
    }

    async def answer_to(*messages: dict[str, Any], never: asyncio.Event | None = None) -> int:
        left = list(messages)
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            if not left and never is not None:
                never.set()
                await asyncio.Event().wait()
            return left.pop(0)

        async def send_back(message: dict[str, Any]) -> None:
            statuses.append(message.get("status", 0))

        await api(scope, receive, send_back)
        return statuses[0]

    async def scenario() -> tuple[int, int]:
        half = {"type": "http.request", "body": b"x" * 60, "more_body": True}
        whole = {"type": "http.request", "body": b"x" * 60}
        received = asyncio.Event()
        first = asyncio.ensure_future(answer_to(half, never=received))
        await received.wait()
        beside_it = await answer_to(whole)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        return beside_it, await answer_to(whole)

    assert asyncio.run(scenario()) == (503, 400)  # 400: read whole, and no JSON


def test_keep_alive_and_several_requests_on_one_connection(server):
    connection = connect(server.url)
    for number in (1.0, 2.0, 3.0):
        connection.request("POST", SCALE, json.dumps({"instances": [number]}))
        response = connection.getresponse()
        assert json.loads(response.read()) == {"predictions": [20.0 * number]}
    connection.close()


def metric(url: str, name: str, **labels: str) -> float:
    """The one sample of that name; the parser adds ``_total`` to the names of counters."""
    text = send(url, "GET", METRICS_PATH).body.decode()
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.removesuffix("_total") == name and labels.items() <= sample.labels.items()
    ]
    return samples[0].value if samples else 0.0


def test_metrics_count_what_was_asked(embedded):
    count = ":tensorflow:serving:request_count"
    fine = metric(embedded, count, model_name="scale", status="OK")
    refused = metric(embedded, count, model_name="scale", status="INVALID_ARGUMENT")
    unknown = metric(embedded, count, model_name="", status="NOT_FOUND")
    latency = ":tensorflow:serving:request_latency_count"
    timed = metric(embedded, latency, model_name="scale", API="predict", entrypoint="REST")
    post_json(embedded, SCALE, {"instances": [1.0]})
    post_json(embedded, SCALE, {"instances": ["x"]})
    post_json(embedded, "/v1/models/anything%20at%20all:predict", {"instances": [1.0]})
    assert metric(embedded, count, model_name="scale", status="OK") == fine + 1
    assert metric(embedded, count, model_name="scale", status="INVALID_ARGUMENT") == refused + 1
    # The name of an unknown model is the client's, and must not make a time series of its own.
    assert metric(embedded, count, model_name="", status="NOT_FOUND") == unknown + 1
    assert metric(embedded, count, model_name="anything at all") == 0
    assert metric(embedded, latency, model_name="scale", API="predict") == timed + 2
    assert metric(embedded, ":tensorflow:cc:saved_model:load_attempt_count", status="success") == 1


def test_histograms_are_cumulative(embedded):
    post_json(embedded, SCALE, {"instances": [1.0]})
    name = ":tensorflow:serving:request_latency"
    everything = metric(embedded, name + "_bucket", model_name="scale", le="+Inf")
    assert everything == metric(embedded, name + "_count", model_name="scale") > 0
    assert metric(embedded, name + "_bucket", model_name="scale", le="10") <= everything
    assert metric(embedded, name + "_sum", model_name="scale") > 0
