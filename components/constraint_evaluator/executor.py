"""Evaluates, leaves the report where it outlives the run, and blesses or fails."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.blessing import bless
from components.constraint_evaluator.candidates import read_candidates
from components.constraint_evaluator.device_measurements import THIS_HOST, parse_measurements
from components.constraint_evaluator.evaluation import (
    Evaluation,
    Request,
    evaluate,
    missed_budgets,
)
from components.constraint_evaluator.report import write_report
from components.errors import InputError
from components.pipeline_run import PipelineRun
from components.specification import AudioSpecification, read_specification
from components.trainer.task import read_rows
from edge_client.bundle import write_bundle


class Executor(BaseExecutor):
    """See ``components.constraint_evaluator.component.ConstraintEvaluator``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Judges one version; TFX calls it.

        Raises:
            BudgetsMissedError: no candidate keeps the budgets. Report and blessing are written
                nevertheless, and the copy of the report stays when TFX clears the outputs away.
            InputError: the inputs cannot be judged.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        specification = read_specification(
            artifact_utils.get_single_uri(input_dict["specification"])
        )
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        order = "path" if isinstance(specification, AudioSpecification) else "time"

        def read_split(split: str) -> Sequence[Mapping[str, Any]]:
            return read_rows(examples, split, order)

        evaluation = evaluate(
            _request(exec_properties, PipelineRun.of(self._context)),
            specification,
            read_candidates(Path(artifact_utils.get_single_uri(input_dict["candidates"]))),
            read_split,
        )
        report = evaluation.report
        for line in report.budgets:
            logging.info("%s: %s", report.name, line)
        for folder, name in (
            (artifact_utils.get_single_uri(output_dict["report"]), "report"),
            (exec_properties["reports"], report.name),
        ):
            write_report(Path(folder) / f"{name}.json", report)
        if exec_properties["measurements"]:
            _offer_for_measuring(evaluation, Path(exec_properties["reports"]))
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        if not report.blessed:
            bless(blessing, None)
            raise missed_budgets(report)
        folder = Path(artifact_utils.get_single_uri(output_dict["bundle"]))
        folder.mkdir(parents=True, exist_ok=True)
        bundle = folder / f"{report.name}.bundle"
        write_bundle(bundle, evaluation.manifest, evaluation.candidate.packed)
        bless(blessing, hashlib.sha256(bundle.read_bytes()).hexdigest())


def _offer_for_measuring(evaluation: Evaluation, reports: Path) -> None:
    """Leaves every candidate where a device can fetch it, and says whether one should."""
    report = evaluation.report
    folder = reports / "candidates" / report.name
    folder.mkdir(parents=True, exist_ok=True)
    for manifest, candidate in evaluation.runnable:
        write_bundle(folder / f"{candidate.recipe}.bundle", manifest, candidate.packed)
    missing = [
        candidate.recipe
        for candidate in report.candidates
        if candidate.latency["total"].measured_on == THIS_HOST
    ]
    if missing:
        print(
            f"{report.name}: no device has measured {', '.join(missing)}, so this host's latencies "
            f"count; `ml4iot-edge bench` on one with the bundles in {folder} changes that",
            file=sys.stderr,
        )


def _request(exec_properties: Mapping[str, Any], made_by: PipelineRun) -> Request:
    name = exec_properties["name"]
    try:
        budgets = json.loads(exec_properties["budgets"])
    except ValueError:
        raise InputError(
            f"{name}: budgets is no JSON; give a mapping from metric to bound"
        ) from None
    if not isinstance(budgets, dict):
        raise InputError(f"{name}: budgets must map metrics to bounds, not be {budgets!r}")
    return Request(
        name=name,
        version=exec_properties["version"],
        budgets=budgets,
        pipeline=made_by.pipeline,
        run=made_by.run,
        measurements=parse_measurements(exec_properties["measurements"]),
    )
