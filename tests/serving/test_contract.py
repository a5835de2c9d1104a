"""TensorFlow Serving's REST contract: the recorded exchanges, and a suite of our own.

Both run against the embedded server, or against a real one (see conftest).
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.conftest import RECORDED, ServerUnderTest
from tests.serving.exchange import Answer, post_json, send

# What HTTP parsing decides before an application is asked.
BEFORE_ASGI = {
    "status_empty_query",
    "status_fragment",
    "unknown_method",
    "lowercase_method",
    "lowercase_post",
    "chunked_bad",
}
CUT = "<truncated, total "


def _recorded() -> Iterator[Any]:
    transcript = RECORDED / "transcript.jsonl"
    if not transcript.is_file():
        reason = "no recorded exchanges here; ML4IOT_TF_SERVING names their folder"
        yield pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")
        return
    with transcript.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            exchange = json.loads(line)
            yield pytest.param(exchange, id=f"{number}-{exchange['name']}")


def _body(exchange: dict[str, Any]) -> bytes | None:
    body = exchange["request_body"]
    if body is None:
        return None
    if exchange["request_body_base64"]:
        return base64.b64decode(body)
    if CUT in body:  # recorded shortened; such a body is one character repeated
        total = int(body.partition(CUT)[2].split()[0])
        return body[:1].encode() * total
    return body.encode()


def _canonical(text: bytes | str) -> str:
    """JSON with its keys sorted: equal texts are equal values, NaN included, 1 is not 1.0."""
    return json.dumps(json.loads(text), sort_keys=True)


@pytest.mark.parametrize("exchange", _recorded())
def test_recorded(exchange: dict[str, Any], recorded_server: ServerUnderTest) -> None:
    name = exchange["name"]
    if recorded_server.embedded and name in BEFORE_ASGI:
        pytest.skip("decided by the HTTP parser, which an ASGI application does not reach")
    answer = send(
        recorded_server.url,
        exchange["method"],
        exchange["path"],
        _body(exchange),
        exchange["request_headers"],
        version="HTTP/1.0" if "http10" in name else "HTTP/1.1",
        host=name != "status_no_host",
    )
    assert answer.status == exchange["status"], answer.body[:300]
    if exchange["content_type"] != "application/json" or not exchange["response_body"]:
        return
    if exchange["status"] != 200:
        assert exchange["method"] == "HEAD" or list(answer.json) == ["error"]
    elif CUT not in exchange["response_body"]:
        assert _canonical(answer.body) == _canonical(exchange["response_body"])


PREDICT = "/v1/models/kinds:predict"


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        (
            {"instances": [{"pair": [1, 2], "weight": 2}, {"pair": [5, 3], "weight": 0.5}]},
            {"predictions": [{"total": 6.0, "largest": 2.0}, {"total": 4.0, "largest": 5.0}]},
        ),
        (
            {"inputs": {"pair": [[1, 2]], "weight": [3], "unknown": 1}},
            {"outputs": {"total": [9.0], "largest": [2.0]}},
        ),
        (
            {"signature_name": "text", "instances": ["ab", {"b64": "Y2Q"}]},
            {
                "predictions": [
                    {"upper": "AB", "same_bytes": {"b64": "YWI="}},
                    {"upper": "CD", "same_bytes": {"b64": "Y2Q="}},
                ]
            },
        ),
        ({"signature_name": "longs", "inputs": 41}, {"outputs": 42}),
        ({"signature_name": "longs", "inputs": [[1], [2]]}, {"outputs": [[2], [3]]}),
        ({"signature_name": "longs", "inputs": []}, {"outputs": []}),
        ({"signature_name": "doubles", "instances": [0.1, 3]}, {"predictions": [0.1, 3.0]}),
        ({"signature_name": "total_only", "inputs": [1, 2]}, {"outputs": 3.0}),
    ],
)
def test_predict(server: ServerUnderTest, request_body: Any, expected: Any) -> None:
    answer = post_json(server.url, PREDICT, request_body)
    assert answer.status == 200, answer.body
    assert _canonical(answer.body) == _canonical(json.dumps(expected))


@pytest.mark.parametrize(
    ("request_body", "status", "words"),
    [
        ([1], 400, "Is not object"),
        ({}, 400, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]}, 400, "only one of"),
        ({"instances": []}, 400, "No values in 'instances' array"),
        ({"instances": [[1, 2]]}, 400, "expecting list of objects"),
        ({"inputs": {"pair": [[1, 2]]}}, 400, "Missing named input: weight"),
        ({"instances": [{"pair": [1, 2]}]}, 400, "keys must be equal to: pair,weight"),
        ({"instances": [{"pair": [1, "2"], "weight": 1}]}, 400, "is not of expected type: float"),
        (
            {"instances": [{"pair": [1, 2], "weight": 1}, {"pair": [1], "weight": 1}]},
            400,
            "element: 1 key: pair of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor "
            "size: 2 but got: 1",
        ),
        ({"signature_name": "none", "inputs": 1}, 400, "not found in signature def"),
        ({"signature_name": 1, "inputs": 1}, 400, "must be a string"),
        ({"signature_name": "longs", "inputs": 1.0}, 400, "is not of expected type: int64"),
        ({"signature_name": "longs", "inputs": True}, 400, "Type: True"),
        ({"signature_name": "text", "inputs": [{"b64": "_-_-"}]}, 400, "Unable to base64 decode"),
        ({"signature_name": "total_only", "instances": [1]}, 400, "has no shape information"),
    ],
)
def test_predict_refused(
    server: ServerUnderTest, request_body: Any, status: int, words: str
) -> None:
    answer = post_json(server.url, PREDICT, request_body)
    assert answer.status == status, answer.body
    assert words in answer.json["error"]


def test_bare_tokens_travel_both_ways(server: ServerUnderTest) -> None:
    body = b'{"signature_name": "doubles", "inputs": [NaN, Infinity, -Infinity, -0.0]}'
    answer = send(server.url, "POST", PREDICT, body)
    assert b"NaN" in answer.body
    assert _canonical(answer.body) == '{"outputs": [NaN, Infinity, -Infinity, -0.0]}'


@pytest.mark.parametrize(
    ("path", "factor"),
    [
        ("/v1/models/scale:predict", 20.0),
        ("/v1/models/scale/versions/1:predict", 10.0),
        ("/v1/models/scale/versions/002:predict", 20.0),
        ("/v1/models/scale/labels/stable:predict", 10.0),
        ("/v1/models/scale/labels/canary:predict", 20.0),
        ("/v1/models/newest%20only:predict", 20.0),
        ("/V1/Models/scale:predict", 20.0),
    ],
)
def test_versions_and_labels(server: ServerUnderTest, path: str, factor: float) -> None:
    answer = post_json(server.url, path, {"instances": [1.0, 2.0]})
    assert answer.json == {"predictions": [factor, 2 * factor]}


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models/none", 404, "Could not find any versions of model none"),
        ("GET", "/v1/models/scale/versions/7", 404, "Could not find version 7 of model scale"),
        ("GET", "/v1/models/newest%20only/versions/1", 404, "Could not find version 1"),
        ("GET", "/v1/models/none/metadata", 404, "Servable not found for request: Latest(none)"),
        ("GET", "/v1/models", 400, "Missing model name"),
        ("GET", "/v1/models/scale?a=b", 404, "scale?a=b"),
        ("GET", "/v1/models/scale:predict", 400, "Malformed request: GET"),
        ("DELETE", "/v1/models/scale", 400, "Malformed request: DELETE"),
        ("POST", "/v1/models/scale", 400, "Malformed request: POST"),
        ("POST", "/v1/models/scale:PREDICT", 400, "Malformed request: POST"),
        ("POST", "/v1/models/none:predict", 404, "Servable not found for request: Latest(none)"),
        ("POST", "/v1/models/scale/labels/x:predict", 400, "Unrecognized servable version label"),
        ("POST", "/v1/models/scale/versions/9:predict", 404, "Specific(scale, 9)"),
    ],
)
def test_paths(server: ServerUnderTest, method: str, path: str, status: int, words: str) -> None:
    body = b'{"instances": [1.0]}' if method == "POST" else None
    answer = send(server.url, method, path, body)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


def test_outside_the_api_is_an_html_404(server: ServerUnderTest) -> None:
    answer = send(server.url, "GET", "/healthz")
    assert answer.status == 404
    assert b"<HTML>" in answer.body


def test_status_lists_newest_first(server: ServerUnderTest) -> None:
    listed = send(server.url, "GET", "/v1/models/scale").json["model_version_status"]
    fine = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert listed == [{"version": "2", **fine}, {"version": "1", **fine}]


def test_metadata_has_the_signatures(server: ServerUnderTest) -> None:
    metadata = send(server.url, "GET", "/v1/models/kinds/metadata").json
    assert metadata["model_spec"] == {"name": "kinds", "signature_name": "", "version": "1"}
    default = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["inputs"]["pair"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in default["inputs"]["pair"]["tensor_shape"]["dim"]] == ["-1", "2"]


def _examples(server: ServerUnderTest, verb: str, signature: str, **rest: Any) -> Answer:
    path = f"/v1/models/kinds:{verb}"
    return post_json(server.url, path, {"signature_name": signature, **rest})


def test_classify(server: ServerUnderTest) -> None:
    answer = _examples(server, "classify", "sign", examples=[{"x": 1.5}, {"x": [-2.0]}])
    assert answer.json == {
        "results": [[["plus", 1.5], ["minus", -1.5]], [["plus", -2.0], ["minus", 2.0]]]
    }


def test_regress_fills_in_from_the_context(server: ServerUnderTest) -> None:
    answer = _examples(server, "regress", "square", context={"x": 3.0}, examples=[{}, {"x": 0.5}])
    assert answer.json == {"results": [9.0, 0.25]}


@pytest.mark.parametrize(
    ("verb", "signature", "rest", "words"),
    [
        ("classify", "sign", {}, "key 'examples' is expected"),
        ("classify", "sign", {"examples": []}, "empty array"),
        ("classify", "sign", {"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ("classify", "sign", {"examples": [1]}, "Example must be JSON object"),
        ("classify", "sign", {"examples": [{"y": 1.0}]}, "Feature: x"),
        ("classify", "sign", {"examples": [{"x": [1.0, "a"]}]}, "Unexpected element type"),
        ("classify", "sign", {"examples": [{"x": None}]}, "unexpected JSON type: Null"),
        ("classify", "square", {"examples": [{"x": 1.0}]}, "at least one of"),
        ("regress", "longs", {"examples": [{"x": 1.0}]}, "No regression inputs found"),
        ("regress", "none", {"examples": [{"x": 1.0}]}, "No signature was found"),
    ],
)
def test_examples_refused(
    server: ServerUnderTest, verb: str, signature: str, rest: Any, words: str
) -> None:
    answer = _examples(server, verb, signature, **rest)
    assert answer.status == 400
    assert words in answer.json["error"]


def test_gzip_bodies_are_read(server: ServerUnderTest) -> None:
    body = gzip.compress(b'{"instances": [1.0]}')
    path = "/v1/models/scale:predict"
    answer = send(server.url, "POST", path, body, {"Content-Encoding": "gzip"})
    assert answer.json == {"predictions": [20.0]}
    cut = send(server.url, "POST", path, body[:-5], {"Content-Encoding": "gzip"})
    assert cut.status == 400


def test_versions_come_and_go_without_a_failed_request(
    server: ServerUnderTest, own_models: Path
) -> None:
    """A broken one changes nothing, a new one takes over, and without it the old one is back."""
    moving = own_models / "moving"

    def ask_until(factor: float) -> None:
        deadline = time.monotonic() + 60
        while True:
            answer = post_json(server.url, "/v1/models/moving:predict", {"instances": [1.0]})
            assert answer.status == 200, answer.body
            if answer.json == {"predictions": [factor]}:
                return
            assert time.monotonic() < deadline

    def state(number: str) -> dict[str, Any]:
        listed = send(server.url, "GET", "/v1/models/moving").json["model_version_status"]
        return next((each for each in listed if each["version"] == number), {})

    ask_until(10.0)
    (moving / "2").mkdir()
    (moving / "2" / "saved_model.pb").write_bytes(b"not a model")
    while state("2").get("status", {}).get("error_code", "OK") == "OK":
        ask_until(10.0)
    assert state("2")["state"] == "END"
    assert state("1")["state"] == "AVAILABLE"
    aside = moving.parent / "aside"
    shutil.copytree(moving.parent / "scale" / "2", aside)
    aside.rename(moving / "3")
    ask_until(20.0)
    shutil.rmtree(moving / "3")
    shutil.rmtree(moving / "2")
    ask_until(10.0)


def test_a_failing_operation_is_told(server: ServerUnderTest) -> None:
    request = {"inputs": {"pair": [[1, 2], [3, 4]], "weight": [1, 2, 3]}}
    answer = post_json(server.url, PREDICT, request)
    assert answer.status == 400
    assert "Incompatible shapes" in answer.json["error"]
