"""Measures a SavedModel through its serving signature."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components.blessing import bless
from components.constraint_evaluator.budgets import all_met, verdict
from components.constraint_evaluator.report import (
    CandidateReport,
    Figure,
    Latency,
    Report,
    write_report,
)
from components.errors import InputError
from components.fingerprint import fingerprint
from components.pipeline_run import PipelineRun
from components.trainer.task import read_rows
from edge_client.wilson import wilson

UNITS = {"accuracy": "%", "bytes": "B", "total_ms": "ms"}
_RUNS = 100
_BATCH = 32


class Executor(BaseExecutor):
    """See ``components.serving_evaluator.component.ServingEvaluator``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Measures and judges; TFX calls it."""
        name = exec_properties["name"]
        budgets = json.loads(exec_properties["budgets"])
        folder = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        rows = read_rows(artifact_utils.get_single_instance(input_dict["examples"]), "test", "path")
        predict = tf.saved_model.load(folder).signatures["serving_default"]
        accuracy = _accuracy(predict, rows)
        latency = _latency(predict, rows[0]["audio"])
        size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
        lines = verdict(
            budgets,
            {"accuracy": accuracy.value, "bytes": size, "total_ms": latency.median_ms},
            UNITS,
        )
        blessed = all_met(lines)
        reason = "" if blessed else "; ".join(str(line) for line in lines if not line.met)
        report = Report(
            name=name,
            version=exec_properties["version"],
            task="keyword_spotting",
            run=str(PipelineRun.of(self._context)),
            candidates=(
                CandidateReport(
                    recipe="SavedModel",
                    steps=(),
                    bytes=size,
                    raw_bytes=size,
                    validation={},
                    latency={"total": latency},
                ),
            ),
            chosen="SavedModel",
            test={"accuracy": accuracy},
            budgets=lines,
            blessed=blessed,
            reason=reason,
        )
        write_report(Path(exec_properties["reports"]) / f"{name}.json", report)
        write_report(
            Path(artifact_utils.get_single_uri(output_dict["report"])) / "report.json", report
        )
        bless(
            artifact_utils.get_single_instance(output_dict["blessing"]),
            fingerprint(folder) if blessed else None,
        )
        if not blessed:
            raise InputError(f"{name}: not blessed: {reason}")


def _accuracy(predict: Callable[..., Any], rows: Sequence[dict[str, Any]]) -> Figure:
    """Percent of the clips whose label the signature gives, with Wilson's interval."""
    correct = 0
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        labels = predict(audio=tf.constant([row["audio"] for row in batch]))["label"].numpy()
        correct += sum(label == row["label"] for label, row in zip(labels, batch, strict=True))
    low, high = wilson(correct, len(rows))
    return Figure.of(100 * correct / len(rows), (100 * low, 100 * high))


def _latency(predict: Callable[..., Any], clip: bytes) -> Latency:
    """Of one clip at a time, after a warm-up, without the network."""
    audio = tf.constant([clip])
    seconds = []
    for run in range(_RUNS + 10):
        started = time.perf_counter()
        predict(audio=audio)["probabilities"].numpy()
        if run >= 10:
            seconds.append(time.perf_counter() - started)
    median, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return Latency(float(median), float(p95), _RUNS)
