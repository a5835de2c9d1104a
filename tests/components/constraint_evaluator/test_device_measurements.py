"""What devices measured counts for the very file they measured, and the report says so."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from components.constraint_evaluator.device_measurements import (
    THIS_HOST,
    device_latency,
    latest,
    parse_measurements,
    read_measurements,
)
from components.constraint_evaluator.evaluation import BudgetsMissedError
from components.constraint_evaluator.report import Latency, read_report
from components.errors import InputError
from components.report_table import verdict_table
from edge_client.bundle import read_bundle
from edge_client.measurement import Machine, Measurement
from edge_client.predictor import AudioPredictor
from edge_client.self_test import self_test
from tests.components.edge_pusher.conftest import running

SHA = "ab" * 32
PI = Measurement(
    device="pi-1",
    model="tiny",
    version="7",
    model_sha256=SHA,
    measured_at="2026-11-20T12:00:00Z",
    features_ms=4.0,
    inference_ms=2.0,
    total_ms=6.0,
    runs=500,
    resident_mb=70.0,
    machine=Machine("aarch64", "Raspberry Pi 4", "Linux 6.12", 4),
)
OTHER = replace(PI, device="pi-2", features_ms=3.0, inference_ms=2.5, total_ms=5.5)
EASY = {"accuracy": 80, "total_ms": 1e6}


def text(*measurements: Measurement) -> str:
    return json.dumps([measured.to_json() for measured in measurements])


def test_the_slowest_device_decides_each_part() -> None:
    assert device_latency([PI, OTHER], SHA) == {
        "features": Latency(4.0, None, 500, "pi-1"),
        "inference": Latency(2.5, None, 500, "pi-2"),
        "total": Latency(6.0, None, 500, "pi-1"),
    }
    assert device_latency([PI], "cd" * 32) is None


def test_a_devices_last_word_counts() -> None:
    later = replace(PI, measured_at="2026-11-21T00:00:00Z", total_ms=5.0)
    assert latest([later, PI]) == latest([PI, later]) == [later]
    latency = device_latency([later, PI], SHA)
    assert latency is not None
    assert latency["total"].median_ms == 5.0


def test_a_file_of_lines(tmp_path: Path) -> None:
    file = tmp_path / "measurements.jsonl"
    stranger = replace(PI, model="another")
    file.write_bytes(b"\n".join(m.serialise() for m in (PI, stranger, OTHER)) + b"\n\n")
    assert parse_measurements(read_measurements(str(file), "tiny")) == (PI, OTHER)
    file.write_bytes(b"")
    assert parse_measurements(read_measurements(str(file), "tiny")) == ()
    assert parse_measurements("") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; make an empty one to begin with"),
        (b"[1]\n", "line 1: an object is wanted"),
        (PI.serialise() + b"\nnonsense", "line 2: no JSON"),
        (b" " * (16 * 2**20 + 1), "larger than the 16 MiB"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content, message: str) -> None:
    file = tmp_path / "measurements.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_measurements(str(file), "tiny")


def test_a_registry_that_was_told_by_a_device(tmp_path: Path) -> None:
    with running(tmp_path) as registry:
        url = registry.target.url
        assert read_measurements(url, "tiny") == "[]"
        token = registry.registry.tokens.add("pi-1", "device")
        # Of another version as well: what is judged under one may be pushed under the next.
        later = replace(PI, version="8", model_sha256="cd" * 32)
        for measured in (PI, later, replace(PI, model="another")):
            sent = httpx.post(
                f"{url}/devices/pi-1/measurements",
                content=measured.serialise(),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            assert sent.status_code == 201
        assert parse_measurements(read_measurements(url, "tiny")) == (PI, later)
        with pytest.raises(InputError, match=r"gives no measurements \(status 404\)"):
            read_measurements(f"{url}/models", "tiny")
    with pytest.raises(InputError, match="cannot be reached"):
        read_measurements(url, "tiny")


@pytest.mark.parametrize("said", [b"[]", b'{"measurements": null}', b'{"measurements": 7}'])
def test_something_that_is_no_registry(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            asking, _ = listening.accept()
            with asking:
                asking.recv(10_000)
                asking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(InputError, match=r"gives no measurements \(status 200\)"):
            read_measurements(f"http://127.0.0.1:{listening.getsockname()[1]}", "tiny")
        thread.join()


def packed_sha256(model: bytes) -> str:
    return hashlib.sha256(zlib.compress(model, 9)).hexdigest()


def test_a_device_decides_for_the_file_it_measured(words, run) -> None:
    measured = replace(PI, model_sha256=packed_sha256(words.models["good"]))
    left, error = run(
        words,
        {"accuracy": 80, "total_ms": 5},
        raises=BudgetsMissedError,
        measurements=text(measured),
        packed="good zlib",
    )
    assert "total_ms: required < 5 ms, measured 6 ms on pi-1, margin -1 ms, missed" in str(error)
    report = read_report(left.copy)
    assert report.chosen_candidate.latency["total"] == Latency(6.0, None, 500, "pi-1")
    assert {line.metric: line.measured_on for line in report.budgets} == {
        "accuracy": "",
        "total_ms": "pi-1",
    }


def test_a_device_makes_a_candidate_the_better_one(words, run) -> None:
    """Both keep the budget on this host; on the device only one does."""
    slow = replace(PI, model_sha256=packed_sha256(words.models["good"]))
    quick = replace(PI, model_sha256=hashlib.sha256(words.models["good"]).hexdigest(), total_ms=1.0)
    left = run(
        words,
        {"accuracy": 80, "total_ms": 5},
        measurements=text(slow, quick),
        plain="good",
        packed="good zlib",
    )
    report = read_report(left.report)
    assert (report.chosen, report.blessed) == ("plain", True)
    (budget,) = [b for b in read_bundle(left.bundles[0]).manifest.budgets if b.metric == "total_ms"]
    assert budget.measured == 1.0


def test_where_no_device_measured_this_host_counts_and_says_so(words, run, capsys) -> None:
    left = run(words, EASY, measurements=text(PI), plain="good", packed="good zlib")
    report = read_report(left.report)
    for candidate in report.candidates:
        assert candidate.latency["total"].measured_on == THIS_HOST
    assert [line.measured_on for line in report.budgets] == ["", THIS_HOST]
    assert "on this host" in str(report.budgets[1])
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "no device" in x]
    assert "tiny: no device has measured packed, plain, so this host's latencies count" in line


def test_every_candidate_is_left_for_devices_to_measure(words, run) -> None:
    left, _ = run(
        words, {"accuracy": 99}, raises=BudgetsMissedError, measurements="[]", packed="good zlib"
    )
    bundle = read_bundle(left.copy.parent / "candidates" / "tiny" / "packed.bundle")
    assert bundle.manifest.model.sha256 == packed_sha256(words.models["good"])
    assert bundle.manifest.budgets == ()
    assert self_test(bundle, AudioPredictor(bundle)).inputs == 3


def test_without_measurements_all_is_as_it_was(words, run, capsys) -> None:
    left = run(words, EASY, plain="good")
    report = read_report(left.report)
    assert report.chosen_candidate.latency["total"].measured_on == ""
    assert report.chosen_candidate.latency["total"].p95_ms is not None
    assert " on " not in str(report.budgets[1])
    assert not (left.copy.parent / "candidates").exists()
    assert "no device" not in capsys.readouterr().err


def test_the_table_names_the_device(words, run) -> None:
    measured = replace(PI, model_sha256=packed_sha256(words.models["good"]))
    left = run(words, EASY, measurements=text(measured), packed="good zlib")
    table = verdict_table([read_report(left.report)])
    assert list(table.columns[2].cells) == ["6.000\npi-1"]


@pytest.mark.parametrize("wrong", ["{", "7", "[1]", '[{"device": "pi-1"}]'])
def test_a_parameter_that_is_something_else(wrong: str) -> None:
    with pytest.raises(InputError, match="measurement"):
        parse_measurements(wrong)
