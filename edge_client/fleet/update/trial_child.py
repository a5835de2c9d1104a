"""A process of its own in which a new model is run for the first time; see ``trial``.

It says ``{}`` when it is ready, reads one line of JSON that names a bundle, says ``{}`` when it
begins with it, and answers with one line: what was measured, or why the bundle is refused.  A model
that brings it down brings down nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_client.bundle.errors import BundleError
from edge_client.bundle.file import MAX_BUNDLE_BYTES, Bundle, read_bundle
from edge_client.confine import confine
from edge_client.errors import EdgeError
from edge_client.files import read_input
from edge_client.fleet.errors import (
    BundleRefused,
    CrashRefused,
    LatencyRefused,
    SelfTestRefused,
    UpdateRefused,
)
from edge_client.interpreter import ModelError, litert
from edge_client.predictor import AudioPredictor, Latency, RecordPredictor, load_predictor
from edge_client.self_test import SelfTestError, self_test

MAX_TOTAL_MS = 1000.0  # for a model that promises nothing about latency
LATENCIES = {"features_ms": "features", "inference_ms": "inference", "total_ms": "total"}
_MEMORY = 512 * 2**20  # bytes a model may want beyond what the empty process has
_CPU_S = 120
_ROUNDS = 3
_RUNS, _ROUND_S = 20, 1.0  # of one round, whichever is reached first
_LEAST_RUNS = 3


def main() -> int:
    """Answers one request."""
    # Whoever stops a service, or types Ctrl-C, tells all of its processes: an end by that would
    # look like a crash of the model.  It is for the process that began this one to end it.
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    answers = _private_output()
    try:
        litert()
        # What the first prediction of any process loads, so that a spare one has it.
        np.fft.rfft(np.zeros(16, np.float32))
    except ModelError as error:
        _say(answers, {"unfit": str(error)})
        return 2
    _say(answers, {})
    line = sys.stdin.readline()
    if not line:  # nobody needed this one
        return 0
    request = json.loads(line)
    confine(_MEMORY, _CPU_S)
    _say(answers, {})  # from here on, whatever happens is the model's doing
    try:
        _say(answers, try_out(Path(request["bundle"]), request["sha256"], request["name"]))
    except UpdateRefused as refusal:
        _say(answers, {"refused": refusal.reason, "text": str(refusal)})
    except EdgeError as error:
        _say(answers, {"unfit": str(error)})
    except MemoryError:
        text = f"{request['name']}: wants more memory than {_MEMORY // 2**20} MiB"
        _say(answers, {"refused": CrashRefused.reason, "text": text})
    return 0


def try_out(path: Path, sha256: str, name: str) -> dict[str, Any]:
    """Runs the golden inputs of a bundle, and measures.

    A budget for latency is kept when the median of one of three rounds is within it: a device that
    is busy for a moment is no fault of the model.

    Args:
        path: of the bundle.
        sha256: as it was signed.
        name: what error messages call it.

    Returns:
        ``inputs`` and ``difference`` of the self-test, and the medians ``features_ms``,
        ``inference_ms`` and ``total_ms`` of the best round.

    Raises:
        BundleRefused, SelfTestRefused, LatencyRefused: it does not stand the trial.
    """
    data = read_input(path, MAX_BUNDLE_BYTES, name, EdgeError)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleRefused(f"{name}: changed since it was verified")
    try:
        bundle = read_bundle(data, name)
        predictor = load_predictor(bundle, name)
        passed = self_test(bundle, predictor, name)
    except BundleError as error:
        raise BundleRefused(str(error)) from None
    except (ModelError, SelfTestError) as error:
        raise SelfTestRefused(str(error)) from None
    for left in reversed(range(_ROUNDS)):
        medians = _round(bundle, predictor)
        missed = _missed(bundle, medians, name)
        if missed is None:
            return {"inputs": passed.inputs, "difference": passed.difference, **medians}
        if not left:
            raise LatencyRefused(missed)
    raise AssertionError("unreachable")


def _round(bundle: Bundle, predictor: AudioPredictor | RecordPredictor) -> dict[str, float]:
    """Medians, in milliseconds, at batch 1 on one thread."""
    latencies: list[Latency] = []
    until = time.monotonic() + _ROUND_S
    golden = bundle.manifest.golden[0].input
    while len(latencies) < _LEAST_RUNS or (len(latencies) < _RUNS and time.monotonic() < until):
        if isinstance(predictor, AudioPredictor):
            clip = np.frombuffer(golden, "<i2")
            latencies.append(predictor(clip, predictor.input.sample_rate).latency)
        else:
            latencies.append(predictor(np.frombuffer(golden, "<f4")).latency)
    return {
        metric: statistics.median(getattr(each, field) for each in latencies)
        for metric, field in LATENCIES.items()
    }


def _missed(bundle: Bundle, medians: dict[str, float], name: str) -> str | None:
    """The first budget that is missed, in one line; None when none is."""
    budgets = [
        (budget.metric, budget.required)
        for budget in bundle.manifest.budgets
        if budget.metric in LATENCIES and budget.comparison == "<"
    ]
    for metric, required in budgets or [("total_ms", MAX_TOTAL_MS)]:
        if not medians[metric] < required:
            return (
                f"{name}: {metric} has a median of {medians[metric]:.3g} ms on this device; "
                f"less than {required:g} ms is wanted"
            )
    return None


def _private_output() -> int:
    """Standard output for our answers only: whatever LiteRT prints goes nowhere."""
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return answers


def _say(answers: int, values: dict[str, Any]) -> None:
    os.write(answers, json.dumps(values).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
