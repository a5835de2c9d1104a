"""Evaluator and pusher as nodes of a pipeline on TFX's local runner."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tfx import v1 as tfx
from tfx.types import standard_artifacts

from components.artifacts import Candidates, FeatureSpecification
from components.constraint_evaluator.component import ConstraintEvaluator
from components.constraint_evaluator.report import read_report
from components.edge_pusher.component import EdgePusher
from edge_client.bundle import read_bundle


def run_pipeline(case, folder: Path, budgets: dict[str, float]) -> None:
    candidates = case.candidates(folder / "candidates", int8="good zlib")
    examples = tfx.dsl.Importer(
        source_uri=case.examples.uri,
        artifact_type=standard_artifacts.Examples,
        properties={"split_names": case.examples.split_names},
    ).with_id("examples")
    described = tfx.dsl.Importer(
        source_uri=case.specification.uri, artifact_type=FeatureSpecification
    ).with_id("specification")
    made = tfx.dsl.Importer(source_uri=candidates.uri, artifact_type=Candidates).with_id("made")
    evaluator = ConstraintEvaluator(
        name="tiny",
        version="3",
        budgets=json.dumps(budgets),
        reports=str(folder / "reports"),
        candidates=made.outputs["result"],
        examples=examples.outputs["result"],
        specification=described.outputs["result"],
    )
    pusher = EdgePusher(
        bundle=evaluator.outputs["bundle"],
        blessing=evaluator.outputs["blessing"],
        destination=str(folder / "pushed"),
    )
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="tiny_pipeline",
        pipeline_root=str(folder / "root"),
        components=[examples, described, made, evaluator, pusher],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(folder / "metadata.sqlite")
        ),
        enable_cache=True,
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)


def test_a_blessed_version_is_pushed(words, tmp_path: Path) -> None:
    run_pipeline(words, tmp_path, {"accuracy": 80, "bytes": 50_000})
    manifest = read_bundle(tmp_path / "pushed" / "tiny.bundle").manifest
    assert (manifest.version, manifest.created_by.pipeline) == ("3", "tiny_pipeline")
    assert manifest.created_by.run_id.startswith("20")  # TFX names a run by its time
    assert read_report(tmp_path / "reports" / "tiny.json").blessed


def test_what_somebody_removed_is_pushed_again(words, tmp_path: Path) -> None:
    bundle = tmp_path / "pushed" / "tiny.bundle"
    budgets = {"accuracy": 80, "bytes": 50_000}
    run_pipeline(words, tmp_path, budgets)
    before = bundle.read_bytes()
    bundle.unlink()
    shutil.rmtree(tmp_path / "candidates")
    run_pipeline(words, tmp_path, budgets)  # the verdict comes from the cache, the push does not
    assert bundle.read_bytes() == before


def test_a_missed_budget_ends_the_run_before_the_push(words, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no candidate of 1 keeps its budgets"):
        run_pipeline(words, tmp_path, {"accuracy": 90})
    assert not (tmp_path / "pushed").exists()
    assert not read_report(tmp_path / "reports" / "tiny.json").blessed
