"""Tunes on validation, judges on test, and writes the bundle that knows when to ask."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tfx.components.util import model_utils
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components.blessing import bless, blessed_sha256
from components.deferral.draw import draw
from components.deferral.fast import FastReport
from components.deferral.recipe import DeferralRecipe, FastRecipe
from components.deferral.report import DeferralReport
from components.deferral.stages import Clips, DeferralStage, FastStage
from components.errors import InputError
from components.json_file import write_json
from components.pipeline_run import PipelineRun
from components.settings import from_mapping
from components.trainer.task import read_rows
from edge_client.bundle import Bundle, BundleError, read_bundle, write_bundle
from edge_client.interpreter import ModelError
from edge_client.predictor import AudioPredictor


@dataclass(frozen=True)
class TuningSettings:
    """What is to be tuned; at least one of the two."""

    deferral: DeferralRecipe | None = None
    fast: FastRecipe | None = None


@dataclass(frozen=True)
class Outcome:
    """What tuning made of a bundle."""

    bundle: Bundle
    deferral: DeferralReport | None
    fast: FastReport | None

    def to_json(self) -> dict[str, Any]:
        """The content of ``curve.json``."""
        report = self.deferral.to_json() if self.deferral else {}
        return {**report, "fast": self.fast.to_json()} if self.fast else report


class Executor(BaseExecutor):
    """See ``components.deferral.component.DeferralTuner``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Tunes one version; TFX calls it.

        Raises:
            InputError: a target that cannot be reached, a budget that is missed (the report stays
                in the folder ``reports``), or inputs that do not go together.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        name = exec_properties["name"]
        settings = from_mapping(TuningSettings, json.loads(exec_properties["settings"]), name)
        (path,) = Path(artifact_utils.get_single_uri(input_dict["incoming_bundle"])).glob(
            "*.bundle"
        )
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        big = None
        if input_dict.get("model"):
            uri = artifact_utils.get_single_uri(input_dict["model"])
            big = Path(path_utils.serving_model_path(uri))
        try:
            outcome = tune_bundle(
                name, settings, read_little(path), big, examples, str(PipelineRun.of(self._context))
            )
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        for place, stem in (
            (artifact_utils.get_single_uri(output_dict["curve"]), "curve"),
            (exec_properties["reports"], name),
        ):
            _write(outcome, Path(place), stem)
        try:
            _check(*(r for r in (outcome.deferral, outcome.fast) if r is not None))
        except InputError:
            bless(blessing, None)
            raise
        target = Path(artifact_utils.get_single_uri(output_dict["bundle"])) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bundle(target, outcome.bundle.manifest, packed_model(path))
        incoming = artifact_utils.get_single_instance(input_dict["incoming_blessing"])
        blessed = model_utils.is_model_blessed(incoming) and (
            blessed_sha256(incoming) == hashlib.sha256(path.read_bytes()).hexdigest()
        )
        bless(blessing, hashlib.sha256(target.read_bytes()).hexdigest() if blessed else None)


def tune_bundle(
    name: str,
    settings: TuningSettings,
    bundle: Bundle,
    big: Path | None,
    examples: Artifact,
    run: str,
) -> Outcome:
    """A bundle with what was learned for it.

    Args:
        name: of the version.
        settings: what is to be tuned.
        bundle: as the ConstraintEvaluator left it.
        big: folder of the big SavedModel, which deferral needs.
        examples: the audio Examples; their test split is read once, when all is chosen.
        run: of the pipeline, for the report.

    Raises:
        InputError: a target out of reach, or inputs that do not go together.
    """
    predictor = predictor_of(bundle, name)

    def read(split: str) -> Clips:
        return clips_of(read_rows(examples, split, "path"), predictor.labels)

    validation = read("validation")
    manifest = bundle.manifest
    deferral = fast = None
    if settings.deferral is not None:
        if big is None:
            raise InputError(f"deferral.big is {settings.deferral.big!r}, but no model came of it")
        asking = DeferralStage(name, settings.deferral, predictor, big)
        learned = asking.learn(validation)
        manifest = replace(manifest, deferral=learned[0])
    if settings.fast is not None:
        cheap = FastStage(name, settings.fast, bundle, predictor)
        mode = cheap.learn(validation)
        manifest = replace(manifest, fast=mode[0])
    test = read("test")
    if settings.deferral is not None:
        deferral = asking.judge(*learned, test, run)
    if settings.fast is not None:
        fast = cheap.judge(*mode, test)
    return Outcome(replace(bundle, manifest=manifest), deferral, fast)


def read_little(path: Path) -> Bundle:
    """The bundle in ``path``; raises ``InputError`` where a device would refuse it."""
    try:
        return read_bundle(path)
    except BundleError as error:
        raise InputError(str(error)) from None


def packed_model(path: Path) -> bytes:
    """The model file in a bundle that was read before, as small as Compression made it."""
    manifest = read_little(path).manifest
    with zipfile.ZipFile(path) as archive:
        return archive.read(manifest.model.file)


def clips_of(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Clips:
    """The audio Examples of a split; raises ``InputError`` for a word that is no label."""
    index = {label.encode(): i for i, label in enumerate(labels)}
    unknown = sorted({row["label"] for row in rows} - set(index))
    if unknown:
        raise InputError(f"label {unknown[0].decode()!r} is none of the bundle's")
    audio = [np.frombuffer(row["audio"], "<i2").astype(np.int16, copy=False) for row in rows]
    return Clips(audio, np.array([index[row["label"]] for row in rows]))


def predictor_of(bundle: Bundle, name: str) -> AudioPredictor:
    """The keyword model of a bundle; raises ``InputError`` where it does not run here."""
    try:
        return AudioPredictor(bundle, name)
    except ModelError as error:
        raise InputError(str(error)) from None


def _write(outcome: Outcome, folder: Path, stem: str) -> None:
    """``<stem>.json``, and the curve as ``<stem>.svg`` where there is one."""
    write_json(folder / f"{stem}.json", outcome.to_json())
    report = outcome.deferral
    if report is not None:
        title = f"{report.name} asking {report.big}, {report.test.clips} test clips"
        draw(report.test, report.deferral.policy, title, folder / f"{stem}.svg")


def _check(*reports: DeferralReport | FastReport) -> None:
    """Raises ``InputError`` where a budget of both models together, or of fast mode, is missed."""
    missed = []
    for report in reports:
        for line in report.budgets:
            logging.info("%s: %s", report, line)
        lines = "; ".join(str(line) for line in report.budgets if not line.met)
        if lines:
            missed.append(f"{report}: {lines}")
    if missed:
        raise InputError(
            f"{'; '.join(missed)}; change the target or the budget, or train better models"
        )
