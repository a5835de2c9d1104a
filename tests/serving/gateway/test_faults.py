"""A backend that is dead, slow, busy or mad, and what clients hear of it."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from serving.gateway.launcher import start_gateway
from serving.gateway.options import GatewayOptions
from tests.edge_client.waiting import eventually
from tests.serving.exchange import Answer, send
from tests.serving.gateway.clips import body
from tests.serving.gateway.conftest import MAX_BATCH, QUEUE
from tests.serving.gateway.fake_backend import BAD_FIRST_BYTE, LABELS, FakeBackend

JSON = {"Content-Type": "application/senml+json"}
LIMIT_S = 30


def ask(url: str, first_byte: int = 1, path: str = "/v1/classify") -> Answer:
    return send(url, "POST", path, body(first_byte), JSON)


def metric(url: str, name: str) -> float:
    text = send(url, "GET", "/metrics").body.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


class Clients:
    """Requests that run beside one another."""

    def __init__(self, url: str, first_bytes: list[int]) -> None:
        self.answers: dict[int, Answer] = {}
        self._threads = [
            threading.Thread(target=self._ask, args=(url, place, first))
            for place, first in enumerate(first_bytes)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, url: str, place: int, first_byte: int) -> None:
        self.answers[place] = ask(url, first_byte)

    def join(self) -> list[Answer]:
        for thread in self._threads:
            thread.join()
        return [self.answers[place] for place in sorted(self.answers)]


@pytest.mark.parametrize(
    ("mode", "status", "words"),
    [
        ("ok", 200, None),
        ("500", 502, "as told: 500"),
        ("301", 502, "301"),
        ("429", 429, "busy"),
        ("503", 503, "as told: 503"),
        ("504", 504, "too long"),
        ("404", 503, "not available"),
        ("400", 400, "as told: 400"),
        ("not json", 502, "no JSON"),
        ("not http", 502, "no answer that makes sense"),
        ("one too few", 502, "predictions"),
        ("not a number", 502, "predictions"),
        ("endless number", 502, "predictions"),
        ("too few classes", 502, "predictions"),
        ("hang up", 502, "hung up"),
        ("hang", 504, "in time|too long"),
    ],
)
def test_every_fault_of_the_backend_has_its_status(gateway, backend, mode, status, words):
    backend.behaviour.mode = mode
    answer = ask(gateway)
    assert answer.status == status, answer.body
    if words is None:
        assert answer.json["label"] == LABELS[1]
    else:
        assert any(word in answer.json["error"] for word in words.split("|")), answer.json
        assert set(answer.json) == {"error", "request_id"}
    if status == 429:
        assert int(answer.headers["retry-after"]) >= 1
    backend.reset()
    assert ask(gateway).status == 200


def test_a_dead_backend_is_told_and_its_return_is_noticed(tmp_path):
    with FakeBackend() as backend:
        port = backend.port
        log_file = tmp_path / "gateway.log"
        options = GatewayOptions(backend=backend.url, port=0, log_file=log_file)
        starting = start_gateway(options)
        running = starting.__enter__()
        try:
            assert ask(running.url).status == 200
            backend.__exit__()
            answer = ask(running.url)
            assert answer.status == 503
            assert "nobody answers" in answer.json["error"]
            eventually(lambda: send(running.url, "GET", "/healthz").status == 503)
            assert metric(running.url, "ml4iot_gateway_backend_ready") == 0
            with FakeBackend(port) as risen:
                eventually(lambda: send(running.url, "GET", "/healthz").status == 200)
                assert ask(running.url).status == 200
                assert risen.asked()
        finally:
            starting.__exit__(None, None, None)
    messages = [json.loads(line)["message"] for line in log_file.read_text().splitlines()]
    assert any(each.startswith("the model is away") for each in messages)


def test_a_backend_that_drips_is_away(gateway, backend):
    backend.behaviour.mode = "drip"
    eventually(lambda: send(gateway, "GET", "/healthz").status == 503)
    backend.reset()
    eventually(lambda: send(gateway, "GET", "/healthz").status == 200)


def test_questions_gather_while_the_model_is_busy(gateway, backend):
    backend.behaviour.go.clear()
    first = Clients(gateway, [0])
    eventually(lambda: bool(backend.asked()))
    others = Clients(gateway, [1, 2, 4, 5, 8])
    eventually(lambda: metric(gateway, "ml4iot_gateway_waiting") == 5)
    backend.behaviour.go.set()
    assert [each.json["label"] for each in first.join()] == ["go"]
    assert [each.json["label"] for each in others.join()] == ["stop", "up", "stop", "up", "up"]
    assert sorted(len(call.inputs) for call in backend.behaviour.calls) == [1, 1, MAX_BATCH]


def test_one_bad_clip_does_not_fail_the_others_of_its_batch(gateway, backend):
    backend.behaviour.go.clear()
    first = Clients(gateway, [0])
    eventually(lambda: bool(backend.asked()))
    others = Clients(gateway, [1, BAD_FIRST_BYTE, 2])
    eventually(lambda: metric(gateway, "ml4iot_gateway_waiting") == 3)
    backend.behaviour.go.set()
    first.join()
    assert [each.status for each in others.join()] == [200, 400, 200]
    assert "audio is bad" in others.join()[1].json["error"]
    assert len(backend.behaviour.calls[1].inputs) == 3


def test_a_full_queue_is_told_at_once_and_those_in_it_are_answered(gateway, backend):
    backend.behaviour.go.clear()
    first = Clients(gateway, [0])
    eventually(lambda: bool(backend.asked()))
    queued = Clients(gateway, [1] * QUEUE)
    eventually(lambda: metric(gateway, "ml4iot_gateway_waiting") == QUEUE)
    refused = ask(gateway)
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) >= 1
    backend.behaviour.go.set()
    assert {each.status for each in first.join() + queued.join()} == {200}


def test_who_hangs_up_leaves_the_queue(gateway, backend):
    backend.behaviour.go.clear()
    first = Clients(gateway, [0])
    eventually(lambda: bool(backend.asked()))
    with httpx.Client(trust_env=False) as client:
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                client.post(f"{gateway}/v1/classify", content=body(1), headers=JSON, timeout=0.2)
    eventually(lambda: metric(gateway, "ml4iot_gateway_waiting") == 0)
    backend.behaviour.go.set()
    first.join()
    assert ask(gateway, 2).status == 200
    assert [each[0] for each in backend.asked()] == [0, 2]


def test_whoever_waits_longer_than_allowed_is_told_so(gateway, backend):
    backend.behaviour.go.clear()
    clients = Clients(gateway, [1, 2])
    answers = clients.join()
    backend.behaviour.go.set()
    assert {each.status for each in answers} == {504}
