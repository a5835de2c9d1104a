"""Measure how long the model of a bundle takes on this device, and how much memory.

Batch 1, one thread, after a warm-up; the input is the bundle's first golden one, or noise.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_client.cli.messages import native_silence

if TYPE_CHECKING:
    from edge_client.bundle.file import Bundle
    from edge_client.predictor import AudioPredictor, Latency, RecordPredictor

HELP = "measure latency and memory"
_WARM_UP = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the model, a .bundle file")
    parser.add_argument(
        "--runs", type=_runs, default=500, help="how often (100 to 100000, default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(chosen: argparse.Namespace) -> int:
    """Runs the command."""
    import numpy as np

    from edge_client.bundle.file import read_bundle
    from edge_client.predictor import load_predictor

    bundle = read_bundle(chosen.bundle)
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
        return 0
    model = bundle.manifest.model
    print(f"{bundle.manifest.name} {bundle.manifest.version}, {model.bytes} B, {chosen.runs} runs")
    print(f"{'ms':<12}{'median':>10}{'p95':>10}")
    for step, row in table.items():
        print(f"{step:<12}{row['median']:>10.4f}{row['p95']:>10.4f}")
    print(f"resident    {memory:>10.1f} MB" if memory is not None else "resident      unknown")
    sys.stdout.flush()
    return 0


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


def _runs(text: str) -> int:
    if not text.isdecimal() or not 100 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 100 to 100000")
    return int(text)
