"""A small HTTP server that behaves as TensorFlow Serving does, or as badly as a test asks for."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LABELS = ("go", "stop", "up")
BAD_FIRST_BYTE = 7  # an input that begins with it is refused, as TensorFlow Serving would
HOLD_LIMIT_S = 30
SLOW_S = 0.1


@dataclass(frozen=True)
class Call:
    """One predict call as it arrived."""

    path: str
    signature: str
    inputs: list[bytes]


@dataclass
class Behaviour:
    """What a test sets; `mode` is about predict calls, or about all of them where it says so."""

    mode: str = "ok"
    version: int = 1
    description: dict[str, Any] | None = None
    calls: list[Call] = field(default_factory=list)
    # Clear: predict calls are held until it is set.
    go: threading.Event = field(default_factory=threading.Event)


class FakeBackend:
    """Serves the model `big` on a port of its own; a context manager."""

    def __init__(self, port: int = 0) -> None:
        self.behaviour = Behaviour()
        self.behaviour.go.set()
        self._server = _Server(("127.0.0.1", port), self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> FakeBackend:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.behaviour.go.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def reset(self) -> None:
        """Behaves again; what was asked before is forgotten."""
        self.behaviour.go.set()
        self.behaviour = Behaviour()
        self.behaviour.go.set()

    def asked(self) -> list[bytes]:
        """The inputs of all predict calls but the gateway's own silence."""
        return [each for call in self.behaviour.calls for each in call.inputs if any(each)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], backend: FakeBackend) -> None:
        super().__init__(address, _Handler)
        self.backend = backend
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for each in tuple(self._open):
            self.shutdown_request(each)

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour = self.server.backend.behaviour
        if behaviour.mode == "hang":
            threading.Event().wait(HOLD_LIMIT_S)
        if behaviour.mode == "drip":
            self._drip()
        elif behaviour.mode == "endless version":
            version = {"version": float("inf"), "state": "AVAILABLE"}
            self._answer(200, {"model_version_status": [version]})
        elif self.path == "/v1/models/big":
            version = {"version": str(behaviour.version), "state": "AVAILABLE"}
            self._answer(200, {"model_version_status": [version]})
        elif self.path == f"/v1/models/big/versions/{behaviour.version}/metadata":
            names = ["serving_default"]
            if behaviour.description is not None:
                names += ["features", "specification"]
            signatures = {"signature_def": {name: {} for name in names}}
            self._answer(200, {"metadata": {"signature_def": signatures}})
        else:
            self._answer(404, {"error": "Servable not found"})

    def do_POST(self) -> None:
        behaviour = self.server.backend.behaviour
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        signature = body["signature_name"]
        if signature == "specification":
            self._answer(200, {"predictions": [json.dumps(behaviour.description)]})
            return
        inputs = [base64.b64decode(each["b64"]) for each in body["instances"]]
        behaviour.calls.append(Call(self.path, signature, inputs))
        named = f"/versions/{behaviour.version}:predict"
        if "/versions/" in self.path and not self.path.endswith(named):
            self._answer(404, {"error": "Servable not found"})
            return
        behaviour.go.wait(HOLD_LIMIT_S)
        self._predict(behaviour.mode, inputs)

    def _predict(self, mode: str, inputs: Sequence[bytes]) -> None:
        if mode == "hang":
            threading.Event().wait(HOLD_LIMIT_S)
        elif mode == "hang up":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif mode == "not http":
            self.wfile.write(b"SSH-2.0-nothing of yours\r\n\r\n")
            self.close_connection = True
        elif mode == "not json":
            self._send(200, b"<html>It works!</html>")
        elif mode.isdigit():
            self._answer(int(mode), {"error": f"as told: {mode}"})
        elif mode == "one too few":
            self._answer(200, {"predictions": [prediction(each) for each in inputs[1:]]})
        elif mode == "not a number":
            rows = [{**prediction(each), "probabilities": [float("nan")] * 3} for each in inputs]
            self._answer(200, {"predictions": rows})
        elif mode == "endless number":
            rows = [{**prediction(each), "probabilities": [10**400, 0, 0]} for each in inputs]
            self._answer(200, {"predictions": rows})
        elif mode == "too few classes":
            rows = [{**prediction(each), "probabilities": [1.0]} for each in inputs]
            self._answer(200, {"predictions": rows})
        elif any(each[0] == BAD_FIRST_BYTE for each in inputs):
            self._answer(400, {"error": "assertion failed: [audio is bad]"})
        else:
            if mode == "slow":
                threading.Event().wait(SLOW_S)
            self._answer(200, {"predictions": [prediction(each) for each in inputs]})

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(int(2 * HOLD_LIMIT_S / SLOW_S)):
                self.wfile.write(b" ")
                threading.Event().wait(SLOW_S)
        self.close_connection = True

    def _answer(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def prediction(data: bytes) -> dict[str, Any]:
    """The label is told by the first byte."""
    place = data[0] % len(LABELS)
    probabilities = [0.8 if i == place else 0.1 for i in range(len(LABELS))]
    return {"label": LABELS[place], "labels": list(LABELS), "probabilities": probabilities}
