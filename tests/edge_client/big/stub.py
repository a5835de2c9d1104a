"""A big model's server that speaks the gateway's contract, and misbehaves when told to."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edge_client.big.description import BigDescription
from edge_client.payload import PAYLOADS, decode
from edge_client.senml import parse
from tests.edge_client import tiny


def description(**changes):
    manifest, _ = tiny.keyword_parts()
    values = {
        "labels": ("silence", "high", "low"),  # another order than the small model's
        "sample_rate": 16000,
        "samples": 16000,
        "features": tiny.FEATURES,
        "standardisation": manifest.input.standardisation,
        "step": 0.125,
    }
    return BigDescription(**values | changes)


class StubBig:
    """As a context manager; ``script`` says how the next questions are answered."""

    def __init__(self, answer=None):
        self.description = description()
        self.beside = {"payloads": list(PAYLOADS), "max_bytes": 2**20}
        self.answer = answer or {"high": 0.9, "low": 0.06, "silence": 0.04}
        self.script = deque()
        self.always = "good"
        self.described = "good"
        self.questions = []  # path, headers, body
        self.connections = 0
        self.fetched = 0
        self._release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A client that hangs up in the middle is what some tests are about.
        self._server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def release(self):
        """Ends what hangs."""
        self._release.set()

    def __exit__(self, *_):
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tls(self, certificate, key):
        """Speaks TLS from now on, as localhost."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"

    def contents(self):
        """What was asked, decoded."""
        return [decode(parse(body)) for _, _, body in self.questions]

    def _handler(stub):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                stub.connections += 1
                super().setup()

            def log_message(self, *_):
                pass

            def do_GET(self):
                assert self.path == "/v1/description"
                stub.fetched += 1
                if stub.described == "good":
                    self.reply(200, stub.description.to_json() | stub.beside)
                else:
                    self.behave(stub.described)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.questions.append((self.path, dict(self.headers), body))
                self.behave(stub.script.popleft() if stub.script else stub.always)

            def behave(self, how):
                good = {"label": "high", "probabilities": stub.answer, "model": "big"}
                if how == "good":
                    self.reply(200, good)
                elif how.startswith("429"):
                    after = how.partition(" ")[2]
                    self.reply(429, {"error": "full"}, {"Retry-After": after} if after else {})
                elif how.isdecimal():
                    self.reply(int(how), {"error": "so it is"})
                elif how == "hang":
                    stub._release.wait(30)
                    self.close_connection = True
                elif how == "cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"label": ')
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                elif how == "close":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                elif how == "garbage":
                    self.reply(200, b"<html>it works!</html>")
                elif how == "no http":
                    self.wfile.write(b"\x00\x01\x02\r\n\r\n")
                    self.close_connection = True
                elif how == "huge":
                    self.reply(200, b" " * (3 * 2**20))
                elif how.startswith("drip"):
                    self.drip(*DRIPS[how])
                elif how == "negative chunk":
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.write(b"-1\r\n", *[b" " * 2**20] * 32)
                elif how == "length unknown":
                    self.send_response(200)
                    self.end_headers()
                    self.write(json.dumps(good).encode())
                    self.close_connection = True
                elif how == "zipped":
                    small = gzip.compress(b" " * 3 * 2**20)
                    self.reply(200, small, {"Content-Encoding": "gzip"})
                elif how == "redirect":
                    self.reply(307, {}, {"Location": "http://127.0.0.1:9/"})
                else:
                    self.reply(200, ODD[how])

            def reply(self, status, values, headers=None):
                data = values if isinstance(values, bytes) else json.dumps(values).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.write(data)

            def drip(self, before, drop):
                self.wfile.write(before)
                try:
                    for _ in range(100):
                        if not stub._release.wait(0.05):
                            self.wfile.write(drop)
                except OSError:
                    pass
                self.close_connection = True

            def write(self, *pieces):
                try:
                    for piece in pieces:
                        self.wfile.write(piece)
                except OSError:  # who reads a huge answer to its end?
                    self.close_connection = True

        return Handler


# Answers that do not end for five seconds, though something comes all the time: how they begin,
# and what is repeated.
DRIPS = {
    "drip body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    "drip headers": (b"HTTP/1.1 200 OK\r\n", b"X"),
    "drip continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}

# Answers of status 200 that are none.
ODD = {
    "a class more": {"probabilities": {"high": 0.5, "low": 0.2, "silence": 0.2, "cat": 0.1}},
    "a class less": {"probabilities": {"high": 0.5, "low": 0.5}},
    "nan": {"probabilities": {"high": float("nan"), "low": 0.5, "silence": 0.5}},
    "infinite": {"probabilities": {"high": float("inf"), "low": 0.5, "silence": 0.5}},
    "negative": {"probabilities": {"high": -0.5, "low": 0.5, "silence": 1.0}},
    "sum of two": {"probabilities": {"high": 1.0, "low": 0.5, "silence": 0.5}},
    "text": {"probabilities": {"high": "1.0", "low": 0.0, "silence": 0.0}},
    "true": {"probabilities": {"high": True, "low": 0.0, "silence": 0.0}},
    "list": {"probabilities": [1.0, 0.0, 0.0]},
    "nothing": {},
    "array": [],
    "deep": b"[" * 100_000,
    "enormous number": b'{"probabilities": {"high": ' + b"9" * 1000 + b', "low": 0, "silence": 0}}',
    "not utf-8": b'{"probabilities": "\xff\xfe"}',
}


def closed_port():
    """A URL at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
