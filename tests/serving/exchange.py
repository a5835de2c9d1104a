"""One HTTP exchange over a plain socket: whatever can be written as a request can be sent."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, NaN and Infinity included."""
        return json.loads(self.body.decode("utf-8", "surrogateescape"))


def send(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    version: str = "HTTP/1.1",
    host: bool = True,
) -> Answer:
    """Sends the path and body as they are; adds Content-Length unless the body is chunked."""
    parts = urlsplit(url)
    lines = [f"{method} {path} {version}"]
    given = dict(headers or {})
    if host:
        given.setdefault("Host", f"{parts.hostname}:{parts.port}")
    if body is not None and "Transfer-Encoding" not in given:
        given.setdefault("Content-Length", str(len(body)))
    lines += [f"{key}: {value}" for key, value in given.items()]
    request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), TIMEOUT_S) as connection:
        connection.sendall(request + (body or b""))
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        return Answer(response.status, dict(response.getheaders()), response.read())


def post_json(url: str, path: str, value: Any) -> Answer:
    """POSTs a JSON body."""
    body = json.dumps(value).encode()
    return send(url, "POST", path, body, {"Content-Type": "application/json"})
