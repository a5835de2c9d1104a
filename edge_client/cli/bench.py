"""Measure how long the model of a bundle takes on this device, and how much memory.

Batch 1, one thread, after a warm-up; the input is the bundle's first golden one, or noise.

--report adds the result to a file, --report-to sends it to the registry; either can be named to the
pipeline, whose ConstraintEvaluator then judges that very model by what it takes here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_client.cli.messages import native_silence
from edge_client.cli.models import add_model_argument, resolve
from edge_client.cli.numbers import whole

if TYPE_CHECKING:
    from edge_client.big.connection import Connection
    from edge_client.bundle.file import Bundle
    from edge_client.measurement import Measurement
    from edge_client.predictor import AudioPredictor, Latency, RecordPredictor

HELP = "measure latency and memory"
_WARM_UP = 50
_SECONDS = 20.0  # for the registry's whole answer
_MAX_REPORT_BYTES = 16 * 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    add_model_argument(parser)
    parser.add_argument(
        "--runs",
        type=whole(100, 100_000),
        default=500,
        help="how often (100 to 100000, default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="add the result to this file, as a line of JSON"
    )
    parser.add_argument("--report-to", metavar="URL", help="send the result to this registry")
    parser.add_argument("--device", metavar="NAME", help="of this device, for a report")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="the device's token, for --report-to"
    )


def run(chosen: argparse.Namespace) -> int:
    """Runs the command."""
    import numpy as np

    from edge_client.bundle.file import read_bundle
    from edge_client.predictor import load_predictor

    bundle = read_bundle(resolve(chosen.bundle, chosen.home))
    send = _sender(chosen, bundle)
    with native_silence():
        predictor = load_predictor(bundle, chosen.bundle)
    latencies = measure(bundle, predictor, chosen.runs)
    table = {}
    for step in ("features", "inference", "total"):
        values = [getattr(latency, step) for latency in latencies]
        table[step] = {
            "median": round(float(np.median(values)), 4),
            "p95": round(float(np.percentile(values, 95)), 4),
        }
    memory = resident_mb()
    if chosen.json:
        result = {"runs": chosen.runs, "latency_ms": table, "resident_mb": memory}
        print(json.dumps(result))
    else:
        model = bundle.manifest.model
        print(
            f"{bundle.manifest.name} {bundle.manifest.version}, {model.bytes} B, {chosen.runs} runs"
        )
        print(f"{'ms':<12}{'median':>10}{'p95':>10}")
        for step, row in table.items():
            print(f"{step:<12}{row['median']:>10.4f}{row['p95']:>10.4f}")
        print(f"resident    {memory:>10.1f} MB" if memory is not None else "resident      unknown")
    sys.stdout.flush()
    send({step: row["median"] for step, row in table.items()}, memory)
    return 0


def _sender(
    chosen: argparse.Namespace, bundle: Bundle
) -> Callable[[Mapping[str, float], float | None], None]:
    """What passes on medians by step, and memory; all that can be wrong with it is said now."""
    if chosen.report is None and chosen.report_to is None:
        return lambda medians, memory: None

    import time

    from edge_client.big.connection import Connection, read_token
    from edge_client.errors import EdgeError
    from edge_client.fleet.names import check_name
    from edge_client.fleet.report import utc_text
    from edge_client.measurement import Measurement, this_machine

    if chosen.device is None:
        raise EdgeError("a report needs --device NAME, the name of this device")
    check_name(chosen.device, "device")
    manifest = bundle.manifest
    check_name(manifest.name, "model")
    check_name(manifest.version, "version")
    connection = None
    if chosen.report_to is not None:
        if chosen.token_file is None:
            raise EdgeError("--report-to needs --token-file FILE, with this device's token")
        connection = Connection(chosen.report_to, read_token(chosen.token_file), connections=1)

    def send(medians: Mapping[str, float], memory: float | None) -> None:
        measurement = Measurement(
            device=chosen.device,
            model=manifest.name,
            version=manifest.version,
            model_sha256=manifest.model.sha256,
            measured_at=utc_text(time.time()),
            features_ms=medians["features"],
            inference_ms=medians["inference"],
            total_ms=medians["total"],
            runs=chosen.runs,
            resident_mb=memory,
            machine=this_machine(),
        )
        if chosen.report is not None:
            _add(chosen.report, measurement)
        if connection is not None:
            _post(connection, measurement)

    return send


def _add(path: Path, measurement: Measurement) -> None:
    """Adds a line to a file, which is never seen with half of one."""
    from edge_client.errors import EdgeError
    from edge_client.files import check_size, read_input, write_whole

    before = read_input(path, _MAX_REPORT_BYTES, str(path), EdgeError) if path.exists() else b""
    check_size(len(before), _MAX_REPORT_BYTES, str(path), EdgeError)
    if before and not before.endswith(b"\n"):
        before += b"\n"
    try:
        write_whole(path, before + measurement.serialise() + b"\n")
    except OSError as error:
        raise EdgeError(f"{path}: cannot be written: {error.strerror}") from None


def _post(connection: Connection, measurement: Measurement) -> None:
    """Raises :class:`EdgeError` where the registry does not take it."""
    from edge_client.errors import EdgeError

    reply = connection.exchange(
        "POST",
        f"/devices/{measurement.device}/measurements",
        _SECONDS,
        measurement.serialise(),
        "application/json",
    )
    connection.close()
    if reply.status not in (200, 201):
        raise EdgeError(f"{connection.url}: the result was not taken: {reply.refusal()}")


def measure(
    bundle: Bundle, predictor: AudioPredictor | RecordPredictor, runs: int
) -> list[Latency]:
    """Latencies of ``runs`` predictions, one after another."""
    import numpy as np

    from edge_client.predictor import AudioPredictor

    golden = bundle.manifest.golden
    noise = np.random.default_rng(0)
    if isinstance(predictor, AudioPredictor):
        if golden:
            clip = np.frombuffer(golden[0].input, "<i2")
        else:
            clip = noise.integers(-3000, 3000, predictor.input.samples, np.int16)
        rate = predictor.input.sample_rate
        return [predictor(clip, rate).latency for _ in range(_WARM_UP + runs)][_WARM_UP:]
    shape = (predictor.window.input_steps, len(predictor.window.quantities))
    if golden:
        rows = np.frombuffer(golden[0].input, "<f4").reshape(shape)
    else:
        rows = noise.normal(size=shape).astype(np.float32)
    return [predictor(rows).latency for _ in range(_WARM_UP + runs)][_WARM_UP:]


def resident_mb() -> float | None:
    """Memory this process holds, in MB of 1,000,000 bytes; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return None
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return round(int(kib) * 1024 / 1e6, 1)
