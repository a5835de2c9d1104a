"""Routes, forms, limits, ids, tokens and metrics of the gateway."""

from __future__ import annotations

import http.client
import json
import socket
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import cbor2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_client.big.description import BigDescription
from edge_client.features.spec import AudioFeatures, Standardisation
from edge_client.payload import PAYLOADS, Recording, encode_recording
from edge_client.senml import Form, Record, write
from serving.gateway.auth import TOKEN_VARIABLE
from serving.gateway.body import LONG_BODY_BYTES
from serving.gateway.launcher import start_gateway
from serving.gateway.options import GatewayOptions
from tests.edge_client.waiting import eventually
from tests.serving.exchange import Answer, send
from tests.serving.gateway.clips import body, clip, course_body
from tests.serving.gateway.conftest import MAX_BYTES
from tests.serving.gateway.fake_backend import LABELS, FakeBackend

JSON, CBOR = "application/senml+json", "application/senml+cbor"
CLASSIFY = "/v1/classify"


def post(url: str, content: bytes, path: str = CLASSIFY, **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(url, "POST", path, content, given)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", ["/v1/classify", "/big_model", "/slow_model"])
def test_a_recording_is_answered_on_every_route(gateway, backend, method, path):
    answer = send(gateway, method, path, body(1), {"Content-Type": JSON})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "label": "stop",
        "probabilities": {"go": 0.1, "stop": 0.8, "up": 0.1},
        "model": "big",
    }
    (asked,) = backend.asked()
    assert asked == clip(1).astype("<i2").tobytes()


def test_the_draft_form_gets_the_class_index_as_well(gateway, backend):
    content = json.dumps(course_body(clip(2))).encode()
    for kind in ({"Content_Type": "application/json; charset=utf-8"}, {}):
        answer = post(gateway, content, "/big_model", **kind)
        assert answer.json["label"] == LABELS[2]
        assert answer.json["e"] == [{"v": 2}]


@pytest.mark.parametrize("path", ["/", "/v1/models/big:predict", "/big_model/", "/metrics/x"])
def test_other_paths_are_told(gateway, path):
    answer = send(gateway, "GET", path)
    assert answer.status == 404
    assert "/big_model" in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/big_model", "POST, PUT"), ("POST", "/healthz", "GET, HEAD"),
     ("DELETE", CLASSIFY, "POST, PUT")],
)  # fmt: skip
def test_other_methods_are_told(gateway, method, path, allowed):
    answer = send(gateway, method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "audio/wav"},
        {"Content_Type": f"{JSON}; charset=utf-16"},
        {"Content_Type": JSON, "Content_Encoding": "gzip"},
    ],
)
def test_other_content_types_are_told(gateway, headers):
    assert post(gateway, body(), **headers).status == 415


def _float_pack(first: bytes) -> bytes:
    return write([Record("audio", unit="float32", value=first + b"\0" * 63_996)], Form.JSON)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"[", "JSON"),
        (b"[]", "0 records|no record|empty"),
        (b"{}", "no field 'e'"),
        (b"\x80", "0 records|no record|empty|SenML"),
        (b"a" * 100, "neither JSON nor"),
        (b'[{"n": "audio", "vd": "*"}]', "base64"),
        (b'[{"n": "audio", "vd": ""}]', "0 samples"),
        (b'[{"n": "audio", "vd": "AAA"}]', "2 bytes"),
        (b'[{"n": "audio", "vd": "AAAA", "bucket_": 1}]', "bucket_"),
        (b'[{"n": "t", "v": 1}]', "0 records with data"),
        (b"[" + b'{"n":"a","v":1},' * 150 + b'{"n":"a","v":1}]', "151 records where 1 to 100"),
        (b'[{"n":"a","v":1,"x":[' + b"1," * 1000 + b"1]}]", "1000 values"),
        (cbor2.dumps([{0: "a", 2: 1}] * 150), "150 records"),
        (cbor2.dumps([{0: "a", 2: 1, "x": [0] * 1000}]), "1000 values"),
        (b'[{"n": "smell", "vd": "AAAA"}]', "unknown kind"),
        (_float_pack(b"\0\0\xc0\x7f"), "nan"),
        (_float_pack(b"\0\0\x80\x7f"), "inf"),
    ],
)
def test_bodies_that_are_no_recording_are_told(gateway, backend, content, words):
    answer = post(gateway, content)
    assert answer.status == 400
    assert any(word in answer.json["error"] for word in words.split("|")), answer.json
    assert "\n" not in answer.json["error"]
    assert backend.asked() == []


def test_ten_megabytes_are_refused_and_the_connection_goes_on(gateway, backend):
    parts = urlsplit(gateway)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("POST", CLASSIFY, b" " * 10_000_000, {"Content-Type": JSON})
    response = connection.getresponse()
    assert response.status == 413
    assert str(MAX_BYTES) in json.loads(response.read())["error"]
    connection.request("POST", CLASSIFY, body(), {"Content-Type": JSON})
    assert connection.getresponse().status == 200
    connection.close()


def test_a_body_of_unknown_length_is_refused_once_it_is_too_long(gateway):
    parts = urlsplit(gateway)
    head = f"POST {CLASSIFY} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection((parts.hostname, parts.port), 60) as connection:
        connection.sendall(head.encode() + chunk * (MAX_BYTES // 0x10000 + 1))
        answer = connection.recv(1000)
    assert b" 413 " in answer
    assert b"connection: close" in answer.lower()


def test_a_long_body_is_decoded_aside(gateway, backend):
    audio = np.tile(clip(0), 3)
    long_body = encode_recording(Recording(audio, 48_000, source="pi/"), "pcm-json")
    assert LONG_BODY_BYTES - 5000 < len(long_body) < MAX_BYTES
    padded = long_body + b" " * (LONG_BODY_BYTES - len(long_body) + 1)
    assert post(gateway, padded).status == 200
    assert post(gateway, padded[:-1] + b"x").status == 400


def test_a_request_id_is_taken_over_or_made_and_stands_in_the_log(gateway, backend, gateway_log):
    assert post(gateway, body(), X_Request_Id="pi-7.a_B").headers["x-request-id"] == "pi-7.a_B"
    made = post(gateway, b"[", X_Request_Id='"\t; drop')
    assert made.json["request_id"] == made.headers["x-request-id"]
    assert len(made.json["request_id"]) == 32
    # The line is written after the answer.
    eventually(lambda: made.json["request_id"] in gateway_log.read_text())
    lines = [json.loads(line) for line in gateway_log.read_text().splitlines()]
    by_id = {line["request_id"]: line for line in lines if "request_id" in line}
    assert by_id["pi-7.a_B"]["status"] == 200
    assert by_id["pi-7.a_B"]["label"] == "stop"
    assert by_id["pi-7.a_B"]["bytes"] == len(body())
    refused = by_id[made.json["request_id"]]
    assert refused["status"] == 400
    assert refused["error"] == made.json["error"]


def test_metrics_count_requests_by_route_and_status(gateway, backend):
    def count() -> float:
        text = send(gateway, "GET", "/metrics").body.decode()
        samples = [each for f in text_string_to_metric_families(text) for each in f.samples]
        wanted = {"route": CLASSIFY, "status": "200"}
        return sum(
            each.value
            for each in samples
            if each.name == "ml4iot_gateway_requests_total" and each.labels == wanted
        )

    before = count()
    post(gateway, body())
    assert count() == before + 1


def test_a_backend_without_description_takes_audio_only(gateway, backend):
    described = send(gateway, "GET", "/v1/description").json
    assert described["labels"] == list(LABELS)
    assert (described["sample_rate"], described["samples"]) == (16_000, 16_000)
    assert described["max_bytes"] == MAX_BYTES
    assert described["payloads"] == [p for p in PAYLOADS if not p.startswith("features")]
    answer = post(gateway, _features("0" * 16, b"\1"))
    assert answer.status == 409
    assert "takes no features" in answer.json["error"]


def _features(specification: str, data: bytes) -> bytes:
    records = [
        Record("features.int8", value=zlib.compress(data)),
        Record("specification", value=specification),
    ]
    return write(records, Form.CBOR)


def _description(step: float) -> BigDescription:
    spec = AudioFeatures.from_json(
        {**AudioFeatures(kind="log_mel").to_json(), "mel_bins": 10, "frame_step_ms": 20.0}
    )
    bins = spec.shape[1]
    scales = Standardisation((0.0,) * bins, (1.0,) * bins)
    return BigDescription(LABELS, 16_000, 16_000, spec, scales, step)


def test_features_follow_the_version_of_the_model(gateway, backend):
    """They are asked of the version that was described, and refused once another is there."""
    old, new = _description(0.125), _description(0.25)
    size = int(old.features.shape[0] * old.features.shape[1])
    backend.behaviour.description = old.to_json()
    backend.behaviour.version = 2

    def described() -> str:
        return send(gateway, "GET", "/v1/description").json.get("specification", "")

    eventually(lambda: described() == old.specification)
    data = b"\2" * size
    taken = post(gateway, _features(old.specification, data), Content_Type=CBOR)
    assert taken.json["label"] == LABELS[2]
    call = backend.behaviour.calls[-1]
    assert (call.path, call.signature) == ("/v1/models/big/versions/2:predict", "features")
    assert call.inputs == [data]
    short = post(gateway, _features(old.specification, data[1:]), Content_Type=CBOR)
    assert short.status == 400
    backend.behaviour.description = new.to_json()
    backend.behaviour.version = 3
    # Whether or not the gateway has noticed by now.
    assert post(gateway, _features(old.specification, data)).status == 409
    eventually(lambda: described() == new.specification)
    assert post(gateway, _features(new.specification, data)).status == 200


@pytest.fixture(scope="module")
def guarded(
    session_backend: FakeBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A gateway that wants the token `sesame`."""
    session_backend.reset()
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text("sesame\n")
    options = GatewayOptions(
        backend=session_backend.url,
        port=0,
        token_file=folder / "token",
        log_file=folder / "gateway.log",
    )
    with start_gateway(options) as running:
        yield running.url
    assert "sesame" not in (folder / "gateway.log").read_text()


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic sesame", "sesame"])
def test_without_the_token_nothing_is_told(guarded, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    for method, path, content in (
        ("POST", CLASSIFY, body()),
        ("GET", "/v1/description", None),
        ("GET", "/metrics", None),
    ):
        answer = send(guarded, method, path, content, headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert send(guarded, "GET", "/healthz", None, headers).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_token_all_is_open(guarded, scheme):
    headers = {"Authorization": f"{scheme} sesame"}
    assert send(guarded, "POST", CLASSIFY, body(), headers).status == 200
    assert send(guarded, "GET", "/metrics", None, headers).status == 200


def test_the_token_may_come_from_the_environment(session_backend, tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "sesame")
    options = GatewayOptions(backend=session_backend.url, port=0, log_file=tmp_path / "log")
    with start_gateway(options) as running:
        assert post(running.url, body()).status == 401
        assert post(running.url, body(), Authorization="Bearer sesame").status == 200
