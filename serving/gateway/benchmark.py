"""``python -m serving.gateway.benchmark``: what the gateway carries, and what it adds.

Client, gateway and the server behind it run on the same machine and share its processors. Whatever
else runs there slows them down, so repeat where it matters.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from rich.console import Console
from rich.table import Table

from edge_client.cli.parser import OneLineParser
from edge_client.payload import Recording, encode_recording
from serving.gateway.launcher import start_gateway
from serving.gateway.open_loop import OpenLoad, ask_at_rate
from serving.gateway.options import GatewayOptions
from serving.launcher import start_server
from serving.load_client import Load, LoadError, measure
from serving.options import BACKENDS, ServeOptions, UsageError

SAMPLES = 16_000
CONNECTIONS = 16
PAIRS = 200  # of a call to the gateway and one past it
PATH = "/v1/classify"
TIMEOUT_S = 30


@dataclass(frozen=True)
class Figure:
    """A row of the table."""

    what: str
    wanted: str
    measured: str


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (2 on wrong use)."""
    arguments = _parse(argv)
    console = Console()
    try:
        figures = _measure(arguments, console)
    except (UsageError, LoadError, TimeoutError, OSError) as error:
        print(f"serving.gateway.benchmark: {error}", file=sys.stderr)
        return 2
    table = Table(title=f"{arguments.model.resolve().name} behind the gateway, 16-bit PCM in SenML")
    for heading in ("", "to reach", "measured"):
        table.add_column(heading)
    for figure in figures:
        table.add_row(figure.what, figure.wanted, figure.measured)
    console.print(table)
    console.print(f"{os.cpu_count()} processors; load average at the end {os.getloadavg()[0]:.1f}")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(
        "python -m serving.gateway.benchmark", description=(__doc__ or "").partition(": ")[2]
    )
    parser.add_argument(
        "--model", type=Path, default=Path("models/big"), help="default: models/big"
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default="embedded", help="as of ml4iot-serve"
    )
    parser.add_argument("--rate", type=float, default=150.0, help="requests/s; default: 150")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round; default: 5")
    parser.add_argument("--rounds", type=int, default=5, help="medians are of these; default: 5")
    arguments = parser.parse_args(argv)
    for flag, value, highest in (
        ("--rate", arguments.rate, 100_000),
        ("--seconds", arguments.seconds, 600),
        ("--rounds", arguments.rounds, 100),
    ):
        if not 0.1 <= value <= highest:
            parser.error(f"{flag} {value:g}: 0.1 to {highest} are taken")
    return arguments


def _measure(arguments: argparse.Namespace, console: Console) -> list[Figure]:
    clip = np.random.default_rng(0).normal(0, 3000, SAMPLES).astype(np.int16)
    body = encode_recording(Recording(clip, source="benchmark/"), "pcm-json")
    seconds, rounds, rate = arguments.seconds, arguments.rounds, arguments.rate
    with tempfile.TemporaryDirectory(prefix="ml4iot-benchmark-") as folder:
        served = ServeOptions(
            arguments.model,
            port=0,
            backend=arguments.backend,
            log_file=Path(folder, "serve.log"),
        ).checked()
        with console.status("Starting the servers ..."):
            server = start_server(served)
        with server as backend:
            options = GatewayOptions(
                backend=backend.url, name=served.name, port=0, log_file=Path(folder, "gateway.log")
            )
            with start_gateway(options) as gateway:
                with console.status("As fast as it goes ..."):
                    full = measure(gateway.url, PATH, body, CONNECTIONS, seconds, rounds)
                with console.status("At half the load ..."):
                    half = [
                        ask_at_rate(gateway.url, PATH, body, rate / 2, seconds)
                        for _ in range(rounds)
                    ]
                with console.status("At three times the load ..."):
                    triple = ask_at_rate(gateway.url, PATH, body, 3 * rate, seconds * rounds)
                with console.status("Beside a direct call ..."):
                    direct, through = _compare(backend.url, served.name, gateway.url, clip, body)
    return [
        _closed(full, rate),
        _open(half, rate),
        _overload(triple, rate),
        Figure(
            "added to a direct call, median",
            "<= 3 ms",
            f"{through - direct:.2f} ms ({through:.2f} instead of {direct:.2f})",
        ),
    ]


def _closed(load: Load, rate: float) -> Figure:
    return Figure(
        f"closed loop, {load.connections} connections",
        f">= {rate:g} requests/s",
        f"{load.requests_per_second:,.0f} requests/s "
        f"(p50 {load.p50_ms:.0f} ms, p95 {load.p95_ms:.0f} ms)",
    )


def _open(loads: Sequence[OpenLoad], rate: float) -> Figure:
    p50 = statistics.median(load.percentile_ms(50) for load in loads)
    p99 = statistics.median(load.percentile_ms(99) for load in loads)
    answered = sum(load.statuses[200] for load in loads)
    return Figure(
        f"{rate / 2:g} requests/s at random moments",
        "p99 <= 150 ms",
        f"p99 {p99:.0f} ms (p50 {p50:.0f} ms; {answered} of {sum(load.sent for load in loads)} "
        "answered with 200)",
    )


def _overload(load: OpenLoad, rate: float) -> Figure:
    counts = ", ".join(f"{count} x {status}" for status, count in sorted(load.statuses.items()))
    return Figure(
        f"{3 * rate:g} requests/s at random moments",
        "none lost, only 200 and 429",
        f"{load.lost} of {load.sent} lost; {counts}",
    )


def _compare(
    backend: str, name: str, gateway: str, clip: np.ndarray, body: bytes
) -> tuple[float, float]:
    """Medians in milliseconds of a direct call and one through the gateway, taken in turns."""
    row = {"b64": base64.b64encode(clip.astype("<i2").tobytes()).decode("ascii")}
    direct_body = json.dumps({"instances": [row]}).encode("ascii")
    asked = [(backend, f"/v1/models/{name}:predict", direct_body), (gateway, PATH, body)]
    connections = [
        http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S) for url, _, _ in asked
    ]
    times: list[list[float]] = [[], []]
    try:
        for _ in range(PAIRS):
            for (_, path, content), connection, taken in zip(
                asked, connections, times, strict=True
            ):
                began = time.perf_counter()
                _ask(connection, path, content)
                taken.append(time.perf_counter() - began)
    finally:
        for connection in connections:
            connection.close()
    return statistics.median(times[0]) * 1000, statistics.median(times[1]) * 1000


def _ask(connection: http.client.HTTPConnection, path: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("POST", path, content, headers)
        response = connection.getresponse()
        answer = response.read()
    except http.client.HTTPException as error:
        raise LoadError(f"no answer in HTTP: {type(error).__name__}") from error
    if response.status != 200:
        raise LoadError(f"{response.status}: {answer[:300].decode('utf-8', 'replace')}")


if __name__ == "__main__":
    sys.exit(main())
