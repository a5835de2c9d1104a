"""The validating part of a DAG in TFX's own runner: it stops, caches, and sees an edited schema."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tfx import v1 as tfx

from components.data_gate.dag import read_schema, validation
from components.errors import InputError
from components.record_example_gen.component import RecordExampleGen

QUANTITY = '[{"name": "T", "column": "T", "unit": "Cel"}]'


@pytest.fixture
def schema(repository: Path, tmp_path: Path) -> Path:
    """A schema of T alone, to be edited."""
    folder = shutil.copytree(repository / "pipeline" / "schema" / "records", tmp_path / "schema")
    path = folder / "schema.pbtxt"
    text = path.read_text()
    before, _, humidity = text.partition('feature {\n  name: "RH"')
    assert humidity
    path.write_text(before)
    return folder


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "records.csv"
    rows = [f"{1577836800 + 600 * i},{10 + i % 37 / 4}" for i in range(400)]
    path.write_text("\n".join(["time,T", *rows]) + "\n")
    return path


def run(tmp_path: Path, csv: Path, schema: Path) -> list[Path]:
    """One run; gives the approvals there are after it."""
    records = RecordExampleGen(str(csv), QUANTITY)
    nodes, _ = validation(records.outputs["examples"], schema)
    pipeline = tfx.dsl.Pipeline(
        "gate",
        str(tmp_path / "root"),
        components=[records, *nodes],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(tmp_path / "metadata.db")
        ),
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    return sorted((tmp_path / "root" / "DataGate" / "approval").iterdir())


def test_a_run_is_cached_until_the_schema_is_edited(tmp_path, csv, schema) -> None:
    approvals = run(tmp_path, csv, schema)
    assert len(approvals) == 1
    assert run(tmp_path, csv, schema) == approvals
    path = schema / "schema.pbtxt"
    path.write_text(path.read_text().replace("max: 60.0", "max: 15.0"))
    with pytest.raises(InputError, match="train: T: outside the physical range"):
        run(tmp_path, csv, schema)


def test_no_schema(tmp_path) -> None:
    with pytest.raises(InputError, match=r"schema\.pbtxt: no schema can be read"):
        read_schema(tmp_path)
    (tmp_path / "schema.pbtxt").write_text("feature { nmae: 3 }")
    with pytest.raises(InputError, match=r"schema\.pbtxt: no schema can be read .*nmae"):
        read_schema(tmp_path)
