"""Reports of ``bench``: into a file, to a registry, and what is said when neither can be."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge_client.__main__ import main
from edge_client.bundle import read_bundle
from edge_client.measurement import Measurement

TOKEN = "a-token-of-pi-1"


@contextmanager
def registry(status: int, answer: dict):
    """A server that notes what is posted and answers the same to everybody."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, self.headers["Authorization"], body))
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", posted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def bench(keyword_bundle, tmp_path: Path, capsys):
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        filled = [argument.format(token=token, folder=tmp_path) for argument in arguments]
        status = main(["bench", str(keyword_bundle), "--runs", "100", "--json", *filled])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


def test_a_report_is_added_to_a_file(bench, keyword_bundle, tmp_path: Path) -> None:
    report = tmp_path / "measurements.jsonl"
    for device in ("pi-1", "pi-2"):
        status, out, err = bench("--report", str(report), "--device", device)
        assert (status, len(out), err) == (0, 1, [])
    lines = report.read_bytes().splitlines()
    assert [Measurement.parse(line).device for line in lines] == ["pi-1", "pi-2"]
    measured = Measurement.parse(lines[-1])
    manifest = read_bundle(keyword_bundle).manifest
    assert (measured.model, measured.version) == (manifest.name, manifest.version)
    assert measured.model_sha256 == manifest.model.sha256
    assert measured.runs == 100
    told = json.loads(out[0])
    assert measured.total_ms == told["latency_ms"]["total"]["median"]
    assert measured.resident_mb == told["resident_mb"]


def test_a_report_goes_to_the_registry_with_the_devices_token(bench, keyword_bundle) -> None:
    with registry(201, {"device": "pi-1"}) as (url, posted):
        status, out, err = bench("--report-to", url, "--device", "pi-1", "--token-file", "{token}")
    assert (status, len(out), err) == (0, 1, [])
    ((path, authorization, body),) = posted
    assert (path, authorization) == ("/devices/pi-1/measurements", f"Bearer {TOKEN}")
    model = read_bundle(keyword_bundle).manifest.model
    assert Measurement.parse(body).model_sha256 == model.sha256


def test_what_the_registry_says_is_passed_on(bench) -> None:
    with registry(403, {"error": "a token of role device is needed"}) as (url, _):
        status, out, err = bench("--report-to", url, "--device", "pi-1", "--token-file", "{token}")
    assert (status, len(out), len(err)) == (2, 1, 1)
    assert "the result was not taken: a token of role device is needed" in err[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--report", "{folder}/x"), "needs --device NAME"),
        (("--report", "{folder}/x", "--device", "pi/1"), "device 'pi/1': 1 to 64 letters"),
        (("--report-to", "http://[::1]:1", "--device", "pi-1"), "needs --token-file FILE"),
        (
            ("--report-to", "http://x", "--device", "pi-1", "--token-file", "{folder}/none"),
            "none: no such file",
        ),
        (
            ("--report-to", "ftp://x", "--device", "pi-1", "--token-file", "{token}"),
            "ftp://x: no URL",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(bench, arguments, message) -> None:
    status, out, err = bench(*arguments)
    assert (status, out, len(err)) == (2, [], 1)
    assert message in err[0]


def test_a_registry_that_is_away_costs_one_line_behind_the_result(bench) -> None:
    with registry(201, {}) as (url, _):
        pass
    status, out, err = bench("--report-to", url, "--device", "pi-1", "--token-file", "{token}")
    assert (status, len(out), len(err)) == (2, 1, 1)
    assert "cannot be reached" in err[0]


def test_a_report_into_a_folder_that_is_not_there_costs_one_line(bench) -> None:
    status, _, err = bench("--report", "{folder}/none/x", "--device", "pi-1")
    assert (status, len(err)) == (2, 1)
    assert "none/x: cannot be written" in err[0]
