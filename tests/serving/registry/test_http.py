"""The registry as a process of its own: who may do what, and how it answers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import httpx
import pytest
from tuf.api.exceptions import UnsignedMetadataError
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from serving.registry.http.app import create_app
from serving.registry.http.front import MAX_BODY_BYTES, MAX_PUSH_BYTES
from serving.registry.launcher import start_registry
from serving.registry.options import RegistryOptions
from serving.registry.registry import open_registry
from serving.registry.tokens import Tokens
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.rotation import rotate
from tests.serving.registry.operator_side import Device, Operator, bundle


@pytest.fixture
def pi(service, tmp_path):
    return Device(tmp_path / "pi", service.operator.trusted_root(), Urllib3Fetcher(), service.url)


def refused(response, status, word=""):
    assert response.status_code == status, response.text
    text = response.json()["error"]
    assert word in text and "\n" not in text
    assert set(response.json()) == {"error"}
    return text


def spoken(service, head):
    """The beginning of the answer to a request's head, as no client of good manners sends it."""
    url = urlsplit(service.url)
    with socket.create_connection((url.hostname, url.port), timeout=10) as raw:
        raw.sendall(f"{head}Host: a\r\n\r\n".encode())
        answer = raw.recv(65536)
        while not answer.endswith(b"}"):  # of the JSON
            answer += raw.recv(65536) or b"}"
        return answer


def test_from_a_push_to_a_device(service, pi):
    answer = service.push("walk", "1.0", "canary")
    assert answer.status_code == 201
    data = bundle("walk", "1.0")
    told = answer.json()
    serial = told.pop("serial")
    assert told == {
        "model": "walk",
        "version": "1.0",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "channel": "canary",
    }
    assert pi.channel("walk", "canary").version == "1.0"
    assert pi.bundle("walk", "1.0") == data
    again = service.http.put(
        "/models/walk/versions/1.0",
        json=service.body("walk", "1.0", "canary"),
        headers=service.as_("push"),
    )
    assert again.status_code == 200
    assert again.json()["serial"] == serial
    assert service.http.get("/models/walk/versions/1.0/bundle").content == data


def test_describes_what_was_pushed(service):
    service.push("told", "1.0", "canary")
    version = service.http.get("/models/told/versions/1.0").json()
    assert version["pushed_by"] == "ada"
    assert version["pipeline"] == "test" and version["run_id"] == "run-1"
    assert version["budgets"][0]["measured"] == pytest.approx(version["budgets"][0]["measured"])
    assert version["channels"] == ["canary"] and version["retired"] is False
    model = service.http.get("/models/told").json()
    assert model["versions"] == [version]
    assert model["channels"] == [{"channel": "canary", "version": "1.0", "rollout": None}]
    assert model in service.http.get("/models").json()["models"]


def test_activates_and_retires(service, pi):
    service.push("moves", "1.0")
    service.push("moves", "1.1")
    path = "/models/moves/channels/stable"
    for version in ("1.0", "1.1"):
        answer = service.http.put(path, json={"version": version}, headers=service.as_("operate"))
        assert answer.status_code == 200
        assert pi.channel("moves", "stable").version == version
    retire = "/models/moves/versions/{}/retire"
    answer = service.http.post(retire.format("1.1"), headers=service.as_("operate"))
    refused(answer, 409, "offered by channel stable")
    answer = service.http.post(retire.format("1.0"), headers=service.as_("operate"))
    assert answer.json() == {"model": "moves", "version": "1.0", "retired": True}
    answer = service.http.put(path, json={"version": "1.0"}, headers=service.as_("operate"))
    refused(answer, 409, "retired")


def test_writing_needs_a_token_of_the_right_role(service):
    service.push("guarded", "1.0")
    body = service.body("guarded", "2.0")
    writes = [
        ("PUT", "/models/guarded/versions/2.0", body, {"device"}),
        ("POST", "/models/guarded/versions/1.0/retire", None, {"device", "push"}),
        ("PUT", "/models/guarded/channels/stable", {"version": "1.0"}, {"device", "push"}),
        ("PUT", "/models/guarded/channels/canary", {"version": "1.0"}, {"device"}),
        ("PUT", "/models/guarded/versions/2.0", body | {"channel": "stable"}, {"device", "push"}),
    ]
    before = service.http.get("/tuf/metadata/timestamp.json").content
    for method, path, sent, forbidden in writes:
        for header in (None, "Bearer nobody's", "Basic YTpi", f"Basic {service.tokens['push']}"):
            headers = {} if header is None else {"Authorization": header}
            answer = service.http.request(method, path, json=sent, headers=headers)
            refused(answer, 401, "token")
            assert answer.headers["www-authenticate"] == "Bearer"
        for role in forbidden:
            answer = service.http.request(method, path, json=sent, headers=service.as_(role))
            refused(answer, 403, "role")
    assert service.http.get("/tuf/metadata/timestamp.json").content == before


def test_a_push_token_moves_canary_only(service):
    service.push("lane", "1.0")
    path = "/models/lane/channels/{}"
    for channel, status in (("canary", 200), ("stable", 403)):
        answer = service.http.put(
            path.format(channel), json={"version": "1.0"}, headers=service.as_("push")
        )
        assert answer.status_code == status


def test_two_pushers_at_once_one_signs_again(service):
    first, second = service.body("race", "1.0"), service.body("race", "1.1")
    path = "/models/race/versions/{}"
    assert service.http.put(path.format("1.0"), json=first, headers=service.as_("push")).is_success
    answer = service.http.put(path.format("1.1"), json=second, headers=service.as_("push"))
    refused(answer, 409, "sign again")
    assert service.push("race", "1.1").status_code == 201


def test_other_content_under_a_version(service):
    service.push("fixed", "1.0")
    other = base64.b64encode(bundle("fixed", "1.0", budgets=())).decode()
    refused(service.push("fixed", "1.0", bundle=other), 409, "versions do not change")


def test_unsigned_pushes(service):
    body = service.body("unsigned", "1.0")
    body["targets"]["signatures"] = []
    path = "/models/unsigned/versions/1.0"
    answer = service.http.put(path, json=body, headers=service.as_("operate"))
    refused(answer, 400, "signed by 0 of the 1 keys")
    refused(service.http.get("/models/unsigned"), 404)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"bundle": "no base64!"}, "base64"),
        ({"bundle": 7}, "bundle"),
        ({"targets": []}, "targets"),
        ({"targets": {}}, "targets"),
        ({"targets": {"signed": {}, "signatures": 1}}, "targets"),
        ({"channel": "../stable"}, "channel"),
        ({"more": 1}, "more"),
    ],
)
def test_bodies_that_are_none(service, changes, word):
    refused(service.push("body", "1.0", **changes), 400, word)


def test_bodies_that_are_no_json(service):
    for content in (b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000):
        answer = service.http.put(
            "/models/a/versions/1", content=content, headers=service.as_("push")
        )
        refused(answer, 400)


@pytest.mark.parametrize(
    "path",
    [
        "/models/%2e%2e/versions/1.0",
        "/models/..%2f..%2fetc/versions/1.0",
        "/models/.hidden/versions/1.0",
        "/models/a/versions/%00",
        "/models/a/versions/1.0%0a",
        "/models/" + "a" * 65 + "/versions/1.0",
    ],
)
def test_names_that_leave_the_folder(service, path):
    for method, body in (("GET", None), ("PUT", service.body("a", "1.0"))):
        answer = service.http.request(method, path, json=body, headers=service.as_("push"))
        assert answer.status_code in (400, 404, 405)
        assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "path",
    [
        "metadata/../tokens.json",
        "metadata/..%2ftokens.json",
        "targets/../../keys/targets.pem",
        "targets/%2e%2e/online/snapshot.pem",
        "targets//etc/passwd",
        "metadata/%00",
        "targets/bundles",
    ],
)
def test_only_files_of_the_repository_are_served(service, path):
    answer = spoken(service, f"GET /tuf/{path} HTTP/1.1\r\n")
    assert answer.startswith(b"HTTP/1.1 404")


def test_bodies_too_large(service):
    for path, limit, role in (
        ("/models/large/channels/canary", MAX_BODY_BYTES, "operate"),
        ("/models/large/versions/1.0", MAX_PUSH_BYTES, "push"),
    ):
        head = f"PUT {path} HTTP/1.1\r\nContent-Length: {limit + 1}\r\n"
        answer = spoken(service, head + f"Authorization: Bearer {service.tokens[role]}\r\n")
        assert answer.startswith(b"HTTP/1.1 413") and b"bytes that are taken" in answer


def test_an_endless_body_is_cut_off(service):
    sent = 0

    def endless():
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    try:
        answer = service.http.put(
            "/models/large/channels/canary", content=endless(), headers=service.as_("operate")
        )
        refused(answer, 413)
    except httpx.TransportError:  # hung up on before it had read the answer
        pass
    assert sent < 64 * 2**20


def test_a_long_body_without_a_token_is_not_taken_in(service):
    head = f"PUT /models/a/versions/1.0 HTTP/1.1\r\nContent-Length: {MAX_PUSH_BYTES}\r\n"
    assert spoken(service, head).startswith(b"HTTP/1.1 401")
    head += f"Authorization: Bearer {service.tokens['device']}\r\n"
    assert spoken(service, head).startswith(b"HTTP/1.1 403")


def test_errors_are_one_line_of_json(service):
    refused(service.http.get("/nothing"), 404)
    answer = service.http.delete("/models")
    refused(answer, 405)
    assert answer.headers["allow"] == "GET"


def test_metadata_is_cached_as_it_may_be(service):
    service.push("cached", "1.0")
    timestamp = service.http.get("/tuf/metadata/timestamp.json")
    assert timestamp.headers["cache-control"] == "no-cache"
    assert timestamp.headers["content-type"] == "application/json"
    root = service.http.get("/tuf/metadata/1.root.json")
    assert "immutable" in root.headers["cache-control"]
    again = service.http.get(
        "/tuf/metadata/1.root.json", headers={"If-None-Match": root.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == root.headers["etag"]
    other = service.http.get(
        "/tuf/metadata/timestamp.json", headers={"If-None-Match": root.headers["etag"]}
    )
    assert other.status_code == 200


def test_downloads_resume(service):
    service.push("parts", "1.0")
    path, data = "/models/parts/versions/1.0/bundle", bundle("parts", "1.0")
    size = len(data)
    etag = service.http.get(path).headers["etag"]

    def part(text, **headers):
        return service.http.get(path, headers={"Range": text, **headers})

    for text, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=10-{size * 9}", 10, size),
        (f"bytes=-{size * 9}", 0, size),
    ):
        answer = part(text)
        assert answer.status_code == 206
        assert answer.content == data[start:end]
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    assert part("bytes=5-", **{"If-Range": etag}).status_code == 206
    assert part("bytes=5-", **{"If-Range": '"another"'}).content == data
    for text in ("bytes=9-2", "lines=1-2", "bytes=0-1,4-5", "bytes=-", "bytes=a-b"):
        assert (part(text).status_code, part(text).content) == (200, data)
    for text in (f"bytes={size}-", "bytes=-0"):
        answer = part(text)
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{size}"


def test_health_and_metrics(service):
    health = service.http.get("/health")
    assert health.status_code == 200
    assert health.json()["status"] == "ok" and set(health.json()["expires"]) == {
        "root",
        "targets",
        "channels",
        "snapshot",
        "timestamp",
    }
    text = service.http.get("/metrics").text
    assert 'ml4iot_registry_requests_total{route="/health",status="200"}' in text
    (line,) = re.findall(r'^ml4iot_registry_metadata_expires.*"timestamp"} (.*)$', text, re.M)
    expires = datetime.fromisoformat(health.json()["expires"]["timestamp"].replace("Z", "+00:00"))
    assert float(line) == expires.timestamp()


def test_an_old_registry_says_what_is_to_be_signed_and_serves_what_it_renewed(tmp_path):
    """Made almost a year ago, and not served since."""
    made = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=350)
    operator = Operator.made(tmp_path, now=lambda: made)
    log_file = tmp_path / "log"
    command = [sys.executable, "-m", "serving.registry", "serve", str(operator.folder)]
    with subprocess.Popen(
        [*command, "--port", "0", "--log-file", str(log_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        url = re.search(r"http://\S+", process.stdout.readline())[0]
        health = httpx.get(f"{url}/health", trust_env=False)
        process.terminate()
        said = process.stderr.read()
    assert health.status_code == 200  # at once: devices may be waiting
    assert "the metadata of root expires" in said and "--keys DIR targets" in said
    assert said.count("\n") == 2
    assert "the metadata of root expires" in log_file.read_text()


def test_requests_are_logged_with_their_id(service):
    answer = service.http.get("/health", headers={"X-Request-Id": "from-the-test"})
    assert answer.headers["x-request-id"] == "from-the-test"
    deadline = time.monotonic() + 20  # it is written once the answer is out
    found = []
    while not found and time.monotonic() < deadline:
        lines = service.log_file.read_text().splitlines()
        found = [json.loads(line) for line in lines if "from-the-test" in line]
    (line,) = found
    assert line["request_id"] == "from-the-test"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health", 200)
    secrets = list(service.tokens.values())
    assert not any(secret in service.log_file.read_text() for secret in secrets)
    strange = service.http.get("/health", headers={"X-Request-Id": "a b"})
    assert len(strange.headers["x-request-id"]) == 32


def test_a_full_disk_is_told(filled, tmp_path, monkeypatch):
    operator = filled.copy(tmp_path)
    token = Tokens(operator.folder).add("ada", "operate")
    app = create_app(open_registry(RegistryOptions(operator.folder)))

    def full(_):
        raise OSError(28, "No space left on device")

    async def ask():
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")
        async with client:
            return await client.put(
                "/models/tones/channels/canary",
                json={"version": "1.0"},
                headers={"Authorization": f"Bearer {token}"},
            )

    monkeypatch.setattr(os, "fsync", full)
    refused(asyncio.run(ask()), 507, "No space left on device; send it again")
    monkeypatch.undo()
    assert asyncio.run(ask()).status_code == 200


@pytest.mark.parametrize("role", ["root", "timestamp"])
def test_a_rotation_is_taken_up_while_it_serves(filled, tmp_path, role):
    operator = filled.copy(tmp_path)
    options = RegistryOptions(operator.folder, port=0, log_file=tmp_path / "log")
    with start_registry(options) as running:
        pi = Device(tmp_path / "pi", operator.trusted_root(), Urllib3Fetcher(), running.url)
        assert pi.channel("tones", "stable").version == "1.0"
        rotate(Repository(operator.folder), operator.keys, role)
        deadline = time.monotonic() + 30
        followed = False
        while not followed:
            # One that asked for the root just before, and for the timestamp just after, asks again.
            with contextlib.suppress(UnsignedMetadataError):
                followed = pi.refreshed()._trusted_set.root.version == 2
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert pi.channel("tones", "stable").version == "1.0"


def not_served(folder, log_file):
    """What ``serve`` says of a folder that it does not serve."""
    command = [sys.executable, "-m", "serving.registry", "serve", str(folder), "--port", "0"]
    done = subprocess.run(
        [*command, "--log-file", str(log_file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    return done.stderr


def test_one_folder_is_served_once(service, tmp_path):
    assert "served by another process" in not_served(service.operator.folder, tmp_path / "log")


def test_a_folder_that_cannot_be_written_is_not_taken_for_a_port(operator, tmp_path):
    (operator.folder / ".serving").mkdir()
    assert f"{operator.folder}/.serving: cannot be" in not_served(operator.folder, tmp_path / "log")


def test_a_request_in_flight_is_answered_when_it_stops(filled, tmp_path):
    operator = filled.copy(tmp_path)
    options = RegistryOptions(operator.folder, port=0, log_file=tmp_path / "log")
    with start_registry(options) as running:
        url = urlsplit(running.url)
        with socket.create_connection((url.hostname, url.port), timeout=20) as raw:
            head = "PUT /models/tones/channels/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
            raw.sendall(f"{head}{{".encode())
            time.sleep(0.3)  # for the head to arrive
            running.process.terminate()
            threading.Timer(0.5, raw.sendall, [b"}"]).start()
            assert raw.recv(65536).startswith(b"HTTP/1.1 401")
        assert running.process.wait(20) == 0
