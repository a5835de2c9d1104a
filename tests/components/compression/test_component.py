"""The component from artifacts to artifact."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.types.channel_utils import as_channel

from components.artifacts import Candidates
from components.compression.component import Compression
from components.compression.executor import Executor
from components.errors import InputError
from components.specification import read_specification
from components.trainer.executor import write_model
from components.trainer.model_folder import read_model

RECIPES = [
    {"name": "plain", "steps": [{"step": "float16"}]},
    {"name": "packed", "steps": [{"step": "float16"}, {"step": "slim"}, {"step": "zlib"}]},
]


@pytest.fixture
def model(records, tmp_path) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.uri = str(tmp_path / "model")
    write_model(
        records.model, records.recipe, read_specification(records.specification.uri), artifact.uri
    )
    return artifact


def test_every_recipe_becomes_a_folder_with_its_description(records, model, tmp_path, run) -> None:
    candidates = Candidates()
    candidates.uri = str(tmp_path / "candidates")
    component = Compression(
        name="v",
        recipes=json.dumps(RECIPES),
        model=as_channel([model]),
        examples=as_channel([records.examples]),
        specification=as_channel([records.specification]),
    )
    inputs = {"model": [model], "examples": [records.examples]}
    Executor().Do(
        {**inputs, "specification": [records.specification]},
        {"candidates": [candidates]},
        component.exec_properties,
    )
    folder = Path(candidates.uri)
    assert sorted(p.name for p in folder.iterdir()) == ["packed", "plain"]
    described = json.loads((folder / "packed" / "candidate.json").read_text())
    assert described == {
        "recipe": "packed",
        "steps": RECIPES[1]["steps"],
        "file": "model.tflite.zlib",
        "compression": "zlib",
    }
    packed = zlib.decompress((folder / "packed" / "model.tflite.zlib").read_bytes())
    plain = (folder / "plain" / "model.tflite").read_bytes()
    rows = records.task.validation.inputs[:5]
    assert (run(packed, rows) == run(plain, rows)).all()


def test_a_wrong_recipe_is_refused_when_the_pipeline_is_made(records, model) -> None:
    with pytest.raises(InputError, match="no step 'int9'"):
        Compression(
            name="v",
            recipes=json.dumps([{"name": "a", "steps": [{"step": "int9"}]}]),
            model=as_channel([model]),
            examples=as_channel([records.examples]),
            specification=as_channel([records.specification]),
        )


def test_a_folder_that_holds_no_trained_model_is_named(model) -> None:
    folder = Path(model.uri)
    (folder / "keras" / "model.keras").write_bytes(b"PK not a model")
    with pytest.raises(InputError, match=r"model\.keras: not a Keras model"):
        read_model(folder)
    (folder / "recipe.json").unlink()
    with pytest.raises(InputError, match=r"recipe\.json: not a trained model's recipe"):
        read_model(folder)
