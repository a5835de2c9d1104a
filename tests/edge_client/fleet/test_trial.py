"""A model's first run on a device: refused where its answers, its latency or its end are wrong."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_client.bundle import Budget, bundle_bytes, pack_model
from edge_client.fleet.errors import (
    BundleRefused,
    CrashRefused,
    DeviceFailure,
    LatencyRefused,
    SelfTestRefused,
)
from edge_client.fleet.update import trial as trial_module
from edge_client.fleet.update.trial import Trial
from edge_client.interpreter import Interpreter
from tests.edge_client import tiny
from tests.edge_client.fleet.repository import bundle


@pytest.fixture
def trial():
    with Trial() as made:
        yield made


@pytest.fixture
def put(tmp_path):
    def put(data):
        path = tmp_path / "x.part"
        path.write_bytes(data)
        return path, hashlib.sha256(data).hexdigest(), "tones 2"

    return put


def test_what_runs_as_it_should_passes(trial, put):
    trial.prepare()
    result = trial(*put(bundle("2")))
    assert result.inputs == 3 and result.difference < 1e-6
    assert 0 < result.inference_ms < result.total_ms
    data = bundle_bytes(*tiny.forecast_parts(), "tiny")
    assert trial(*put(data)).features_ms == 0


def test_other_answers_than_where_it_was_made(trial, put, keyword_parts):
    golden = keyword_parts[0].golden
    wrong = replace(golden[1], output=golden[0].output)
    data = bundle("2", golden=(golden[0], wrong))
    with pytest.raises(SelfTestRefused, match="tones 2: golden input 2 "):
        trial(*put(data))


def test_no_golden_inputs(trial, put):
    with pytest.raises(SelfTestRefused, match="no golden"):
        trial(*put(bundle("2", golden=())))


@pytest.mark.parametrize("metric", ["features_ms", "inference_ms", "total_ms"])
def test_a_missed_latency_budget(trial, put, metric):
    budget = Budget(metric, "<", 1e-6, 1e-7, "ms")
    with pytest.raises(LatencyRefused, match=f"{metric} has a median of .* less than 1e-06 ms"):
        trial(*put(bundle("2", budgets=(budget,))))


def test_without_a_budget_it_must_answer_within_a_second(trial, put, keyword_parts):
    assert not [b for b in keyword_parts[0].budgets if b.metric.endswith("_ms")]
    assert trial(*put(bundle("2"))).total_ms < 1000


def test_a_bundle_that_changed_since_it_was_verified(trial, put):
    path, _, name = put(bundle("2"))
    with pytest.raises(BundleRefused, match="changed"):
        trial(path, hashlib.sha256(b"other").hexdigest(), name)


def test_a_bundle_that_is_none(trial, put):
    with pytest.raises(BundleRefused, match="not a bundle"):
        trial(*put(b"PK"))


def test_a_bundle_that_cannot_be_read_is_not_its_own_fault(trial, put, tmp_path):
    with pytest.raises(DeviceFailure, match="cannot be tried here"):
        trial(tmp_path / "none", "", "tones 2")


def huge_model(taken, given, megabytes):
    """A TFLite model of few bytes that wants so much memory."""
    make = tiny._Builder()
    real, whole = schema.TensorType.FLOAT32, schema.TensorType.INT32
    rows = megabytes * 2**20 // (4 * taken)
    first = make.tensor((1, taken), real)
    multiples = make.tensor((2,), whole, data=np.array([rows, 1], np.int32))
    tiled = make.tensor((rows, taken), real)
    begin = make.tensor((2,), whole, data=np.zeros(2, np.int32))
    size = make.tensor((2,), whole, data=np.array([1, given], np.int32))
    last = make.tensor((1, given), real)
    operators, options = schema.BuiltinOperator, schema.BuiltinOptions
    make.operator(
        operators.TILE, [first, multiples], [tiled], options.TileOptions, schema.TileOptionsT()
    )
    make.operator(
        operators.SLICE,
        [tiled, begin, size],
        [last],
        options.SliceOptions,
        schema.SliceOptionsT(),
    )
    return make.finish([first], [last])


def slow_model(taken, given):
    """A TFLite model whose one answer costs a hundred thousand million operations."""
    make = tiny._Builder()
    real, whole = schema.TensorType.FLOAT32, schema.TensorType.INT32
    rows, columns = 4000, 3200 // taken * taken
    first = make.tensor((1, taken), real)
    multiples = make.tensor((2,), whole, data=np.array([rows, columns // taken], np.int32))
    tiled = make.tensor((rows, columns), real)
    product = make.tensor((rows, rows), real)
    begin = make.tensor((2,), whole, data=np.zeros(2, np.int32))
    size = make.tensor((2,), whole, data=np.array([1, given], np.int32))
    last = make.tensor((1, given), real)
    operators, options = schema.BuiltinOperator, schema.BuiltinOptions
    make.operator(
        operators.TILE, [first, multiples], [tiled], options.TileOptions, schema.TileOptionsT()
    )
    transposed = schema.BatchMatMulOptionsT()
    transposed.adjY = True
    make.operator(
        operators.BATCH_MATMUL,
        [tiled, tiled],
        [product],
        options.BatchMatMulOptions,
        transposed,
    )
    make.operator(
        operators.SLICE,
        [product, begin, size],
        [last],
        options.SliceOptions,
        schema.SliceOptionsT(),
    )
    return make.finish([first], [last])


def test_a_model_that_wants_all_the_memory(trial, put, keyword_parts):
    manifest, _ = keyword_parts
    size = int(np.prod(manifest.input.features.shape))
    entry, packed = pack_model(huge_model(size, 3, 1024), "none")
    quantization = Interpreter(huge_model(size, 3, 1), manifest.input.standardisation).quantization
    made = replace(manifest, model=entry, quantization=quantization)
    with pytest.raises((SelfTestRefused, CrashRefused)):
        trial(*put(bundle_bytes(made, packed, "huge")))


@pytest.fixture
def slow(put, keyword_parts):
    """A bundle that keeps its process busy for a while."""
    manifest, _ = keyword_parts
    size = int(np.prod(manifest.input.features.shape))
    entry, packed = pack_model(slow_model(size, 3), "none")
    quantization = Interpreter(huge_model(size, 3, 1), manifest.input.standardisation).quantization
    made = replace(manifest, model=entry, quantization=quantization)
    return put(bundle_bytes(made, packed, "slow"))


def once_begun(trial, act):
    """Does something to the process of a trial once that has begun with the model."""
    trial.prepare()
    process = trial._spare.id

    def wait():
        while True:
            limits = Path(f"/proc/{process}/limits").read_text()
            line = next(each for each in limits.splitlines() if each.startswith("Max file size"))
            if line.split()[3] == "0":  # its last step before
                return act(process)
            time.sleep(0.001)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_model_that_brings_its_process_down(trial, put, slow):
    # By SIGKILL, for QEMU does not always end by a SIGSEGV that comes from outside.
    thread = once_begun(trial, lambda process: os.kill(process, signal.SIGKILL))
    with pytest.raises(CrashRefused, match="SIGKILL"):
        trial(*slow)
    thread.join()
    assert trial(*put(bundle("2"))).inputs == 3  # the next one has a process of its own


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_whoever_stops_all_processes_of_a_service_does_not_blame_the_model(trial, put, number):
    path, sha256, name = put(bundle("2"))
    request = json.dumps({"bundle": str(path), "sha256": sha256, "name": name})
    child = trial._begun(request.encode() + b"\n")
    os.kill(child.id, number)
    answer = child.line(60)
    child.stop()
    assert json.loads(answer)["inputs"] == 3


def test_a_model_that_never_answers(slow):
    with Trial(longest_s=0.3) as trial:
        thread = once_begun(trial, lambda process: os.kill(process, signal.SIGSTOP))
        process = trial._spare.id
        with pytest.raises(CrashRefused, match=r"no answer within 0\.3 s"):
            trial(*slow)
        thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_spare_process_that_was_killed_meanwhile_is_replaced(trial, put):
    trial.prepare()
    assert select.select([trial._spare._stdout], [], [], 60)[0]
    os.kill(trial._spare.id, signal.SIGKILL)
    assert trial(*put(bundle("2"))).inputs == 3


def test_a_device_on_which_nothing_runs(trial, put, monkeypatch, tmp_path):
    monkeypatch.setattr(trial_module.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(DeviceFailure, match="no process can be started"):
        trial(*put(bundle("2")))


def test_a_device_without_litert_says_so(trial, put, monkeypatch, tmp_path):
    # The child's package does not load, as where it is of another processor.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'ai_edge_litert':\n"
        "            raise ImportError('wrong ELF')\n"
        "sys.meta_path.insert(0, Broken())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DeviceFailure, match=r"no model can run here: .*wrong ELF"):
        trial(*put(bundle("2")))
