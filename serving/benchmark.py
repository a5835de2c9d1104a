"""``python -m serving.benchmark``: requests a second and latency of predict, client included.

Client and server run on the same machine and share its processors. Whatever else runs there slows
both down, so compare figures of one run with each other, and repeat where it matters.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edge_client.cli.parser import OneLineParser
from serving.launcher import start_server
from serving.load_client import Load, LoadError, measure
from serving.options import BACKENDS, ServeOptions, UsageError, check_model_folder
from serving.readiness import get_json

CONNECTIONS = (1, 8)
SAMPLES = 16_000
WRITE_TIMEOUT_S = 300
METADATA_TIMEOUT_S = 10


@dataclass(frozen=True)
class Question:
    """A predict request to a model: `model` is its name, `folder` where its versions lie."""

    what: str
    model: str
    folder: Path
    body: bytes | None


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (2 on wrong use)."""
    arguments = _parse(argv)
    console = Console()
    try:
        if arguments.model is not None:
            check_model_folder(arguments.model)
        with tempfile.TemporaryDirectory(prefix="ml4iot-benchmark-") as folder:
            with console.status("Writing the benchmark's models ..."):
                questions = _questions(Path(folder), arguments.model)
            rows = [
                (question, load)
                for question in questions
                for load in _ask(question, arguments, console)
            ]
    except (UsageError, LoadError, OSError) as error:
        print(f"serving.benchmark: {error}", file=sys.stderr)
        return 2
    _print(console, rows)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(
        "python -m serving.benchmark", description=(__doc__ or "").partition(": ")[2]
    )
    parser.add_argument("--model", type=Path, help="a model folder to measure as well")
    parser.add_argument(
        "--backend", choices=BACKENDS, default="embedded", help="as of ml4iot-serve"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of a round; default: 3")
    parser.add_argument("--rounds", type=int, default=5, help="medians are of these; default: 5")
    arguments = parser.parse_args(argv)
    if not 0.1 <= arguments.seconds <= 600:
        parser.error(f"--seconds {arguments.seconds:g}: 0.1 to 600 are taken")
    if not 1 <= arguments.rounds <= 100:
        parser.error(f"--rounds {arguments.rounds}: 1 to 100 are taken")
    return arguments


def _questions(folder: Path, model: Path | None) -> list[Question]:
    _write_models(folder)
    questions = [
        Question("trivial", "trivial", folder / "trivial", _rows([1.0, 2.0, 5.0])),
        Question("base64 of 16,000 samples", "audio", folder / "audio", _rows([_audio()])),
    ]
    if model is not None:
        name = model.resolve().name
        questions.append(Question(f"{name}, one row", name, model, None))
    return questions


def _write_models(folder: Path) -> None:
    command = [sys.executable, "-m", "serving.benchmark_models", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=WRITE_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"the models could not be written: {lines[-1:]}") from error
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"no models after {WRITE_TIMEOUT_S} s") from error


def _ask(question: Question, arguments: argparse.Namespace, console: Console) -> list[Load]:
    options = ServeOptions(question.folder, question.model, port=0, backend=arguments.backend)
    with console.status(f"{question.what} ..."), start_server(options) as server:
        body = question.body or request_for(server.url, question.model)
        path = f"/v1/models/{urllib.parse.quote(question.model)}:predict"
        return [
            measure(server.url, path, body, connections, arguments.seconds, arguments.rounds)
            for connections in CONNECTIONS
        ]


def request_for(url: str, model: str) -> bytes:
    """A row that fits the model's default signature; strings are a second of audio."""
    path = f"{url}/v1/models/{urllib.parse.quote(model)}/metadata"
    metadata = get_json(path, METADATA_TIMEOUT_S)
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    if "serving_default" not in signatures:
        raise UsageError(f"model {model!r} has no signature serving_default")
    inputs = signatures["serving_default"]["inputs"]
    return _rows([{name: _value(info) for name, info in inputs.items()}])


def _value(info: dict[str, Any]) -> Any:
    if info["dtype"] == "DT_STRING":
        return _audio()
    dims = [max(1, int(dim["size"])) for dim in info["tensor_shape"]["dim"][1:]]
    return np.zeros(dims, np.float32 if info["dtype"] == "DT_FLOAT" else np.int32).tolist()


def _audio() -> dict[str, str]:
    noise = np.random.default_rng(0).normal(0, 3000, SAMPLES).astype("<i2")
    return {"b64": base64.b64encode(noise.tobytes()).decode("ascii")}


def _rows(rows: list[Any]) -> bytes:
    return json.dumps({"instances": rows}).encode("ascii")


def _print(console: Console, rows: Iterable[tuple[Question, Load]]) -> None:
    table = Table(title="predict over REST, client and server on the same processors")
    for heading in ("request", "connections", "requests/s", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="left" if heading == "request" else "right")
    for question, load in rows:
        table.add_row(
            question.what,
            str(load.connections),
            f"{load.requests_per_second:,.0f}",
            f"{load.p50_ms:.2f}",
            f"{load.p95_ms:.2f}",
        )
    console.print(table)
    console.print(f"{os.cpu_count()} processors; load average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    sys.exit(main())
