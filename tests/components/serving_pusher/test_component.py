"""The pusher as a node of a pipeline on TFX's local runner."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tfx import v1 as tfx
from tfx.types import standard_artifacts

from components.serving_pusher.component import ServingPusher


def run_pipeline(folder: Path, blessed: int) -> None:
    serving = folder / "model" / "Format-Serving"
    serving.mkdir(parents=True, exist_ok=True)
    (serving / "saved_model.pb").write_bytes(b"graph")
    (folder / f"blessing-{blessed}").mkdir(exist_ok=True)
    model = tfx.dsl.Importer(
        source_uri=str(folder / "model"), artifact_type=standard_artifacts.Model
    ).with_id("model")
    blessing = tfx.dsl.Importer(
        source_uri=str(folder / f"blessing-{blessed}"),
        artifact_type=standard_artifacts.ModelBlessing,
        custom_properties={"blessed": blessed},
    ).with_id("blessing")
    pusher = ServingPusher(
        model=model.outputs["result"],
        model_blessing=blessing.outputs["result"],
        base_directory=str(folder / "serving" / "big"),
    )
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="tiny_pipeline",
        pipeline_root=str(folder / "root"),
        components=[model, blessing, pusher],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(folder / "metadata.sqlite")
        ),
        enable_cache=True,
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)


def test_pushes_a_version_once_and_again_when_it_is_gone(tmp_path: Path) -> None:
    base = tmp_path / "serving" / "big"
    run_pipeline(tmp_path, blessed=1)
    (version,) = base.glob("[0-9]*")
    assert (version / "saved_model.pb").read_bytes() == b"graph"
    run_pipeline(tmp_path, blessed=1)
    assert list(base.glob("[0-9]*")) == [version]
    shutil.rmtree(base)
    run_pipeline(tmp_path, blessed=1)
    assert len(list(base.glob("[0-9]*/saved_model.pb"))) == 1


def test_what_is_not_blessed_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="nothing pushed, for the model is not blessed"):
        run_pipeline(tmp_path, blessed=0)
    assert not (tmp_path / "serving").exists()
