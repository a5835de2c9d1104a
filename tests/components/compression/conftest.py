"""Small tasks of either kind on Examples written to disk, and models trained on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.artifacts import FeatureSpecification
from components.compression.compress import Compressor
from components.examples import SPLITS, example, split_writers
from components.specification import (
    AudioSpecification,
    RecordSpecification,
    write_specification,
)
from components.trainer.executor import train
from components.trainer.recipe import Architecture, Augmentation, Recipe, Training
from components.trainer.task import Task, load_task
from components.version import CompressionRecipe
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures, Quantity, RecordWindow, Standardisation

LABELS = ("high", "low", "mid")
FEATURES = AudioFeatures("log_mel", frame_length_ms=64, frame_step_ms=64, mel_bins=8, high_hz=4000)
WINDOW = RecordWindow(
    quantities=(Quantity("T", "T (degC)", "Cel"), Quantity("RH", "rh (%)", "%RH")),
    input_steps=6,
    output_steps=6,
    interval_s=600.0,
)
KEYWORD_RECIPE = Recipe(
    Architecture("residual_ds_cnn", options={"channels": 12, "blocks": 1, "kernel": [3, 4]}),
    Training(
        epochs=8,
        batch_size=16,
        learning_rate=0.01,
        augmentation=Augmentation(shift_ms=50, noise=0.5, mixup=0.1),
    ),
)
FORECAST_RECIPE = Recipe(
    Architecture("linear"), Training(epochs=5, batch_size=32, learning_rate=0.003)
)


@dataclass(frozen=True)
class Prepared:
    """A task, the artifacts it was read from, and a model trained on it."""

    task: Task
    examples: Artifact
    audio: Artifact | None
    specification: Artifact
    recipe: Recipe
    model: tf.keras.Model


@pytest.fixture(scope="session")
def keywords(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Three tones in noise to be told apart."""
    folder = tmp_path_factory.mktemp("keywords")
    front_end = FrontEnd(FEATURES)
    random = np.random.default_rng(5)
    audio_artifact, examples = _examples(folder / "audio"), _examples(folder / "features")
    seen = []
    with split_writers(audio_artifact) as clips, split_writers(examples) as features:
        for split in SPLITS:
            for i in range(96):
                label = LABELS[i % 3]
                hertz = {"low": 300, "mid": 1000, "high": 3000}[label] * random.uniform(0.9, 1.1)
                tone = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000)
                clip = (2000 * tone + random.normal(0, 1000, 16000)).astype("<i2")
                values = front_end(clip.astype(np.float32)[np.newaxis] / 32768)[0]
                seen.append(values)
                common = {"label": label, "path": f"{label}/{split}{i:03}.wav", "speaker": "a"}
                clips[split].write(example({"audio": clip.tobytes(), **common}))
                features[split].write(
                    example({"features": values.astype("<f4").tobytes(), **common})
                )
    frames = np.concatenate(seen)
    standardisation = Standardisation(tuple(frames.mean(0).tolist()), tuple(frames.std(0).tolist()))
    specification = AudioSpecification(FEATURES, standardisation, LABELS)
    return _prepared(folder, specification, examples, audio_artifact, KEYWORD_RECIPE)


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Temperature and humidity that swing about their means."""
    folder = tmp_path_factory.mktemp("records")
    random = np.random.default_rng(6)
    phase = np.arange(900) / 144 * 2 * np.pi
    rows = np.stack([9 + 6 * np.sin(phase), 75 - 12 * np.sin(phase + 0.3)], axis=1)
    rows = (rows + random.normal(0, 0.1, rows.shape)).astype("<f4")
    examples = _examples(folder / "windows")
    with split_writers(examples) as writers:
        for start in range(len(rows) - 12):
            split = SPLITS[min(2, start // 600 + start // 750)]
            writers[split].write(
                example(
                    {
                        "window": rows[start : start + 6].tobytes(),
                        "target": rows[start + 6 : start + 12].tobytes(),
                        "time": 600 * start,
                    }
                )
            )
    standardisation = Standardisation(tuple(rows.mean(0).tolist()), tuple(rows.std(0).tolist()))
    specification = RecordSpecification(WINDOW, standardisation)
    return _prepared(folder, specification, examples, None, FORECAST_RECIPE)


@pytest.fixture(scope="session")
def compressor(keywords: Prepared) -> Compressor:
    """Of the keyword model; shared, so that tests convert it once for each recipe."""
    return Compressor(keywords.model, keywords.task, keywords.recipe.training)


@pytest.fixture(scope="session")
def forecast_compressor(records: Prepared) -> Compressor:
    """Of the forecaster, shared too."""
    return Compressor(records.model, records.task, records.recipe.training)


@pytest.fixture(scope="session")
def recipe() -> Callable[..., CompressionRecipe]:
    """Makes a recipe from steps, each a name or a mapping."""

    def make(*steps: str | dict[str, object], name: str = "tried") -> CompressionRecipe:
        return CompressionRecipe(
            name, tuple({"step": step} if isinstance(step, str) else step for step in steps)
        )

    return make


@pytest.fixture(scope="session")
def run() -> Callable[[bytes, np.ndarray], np.ndarray]:
    """Outputs of a TFLite file for a batch of inputs, dequantized, one row after the other."""

    def predict(data: bytes, inputs: np.ndarray) -> np.ndarray:
        interpreter = tf.lite.Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
        (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
        outputs = []
        for row in inputs:
            interpreter.set_tensor(given["index"], _quantized(row, given)[np.newaxis])
            interpreter.invoke()
            output = interpreter.get_tensor(answer["index"])[0]
            scale, zero = answer["quantization"]
            outputs.append((output.astype(np.float32) - zero) * scale if scale else output)
        return np.stack(outputs)

    return predict


def _quantized(row: np.ndarray, details: dict) -> np.ndarray:
    scale, zero = details["quantization"]
    return np.clip(np.round(row / scale + zero), -128, 127).astype(np.int8) if scale else row


def _examples(folder: Path) -> Artifact:
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    return artifact


def _prepared(
    folder: Path,
    specification: AudioSpecification | RecordSpecification,
    examples: Artifact,
    audio: Artifact | None,
    recipe: Recipe,
) -> Prepared:
    artifact = FeatureSpecification()
    artifact.uri = str(folder / "specification")
    write_specification(artifact.uri, specification)
    task = load_task(specification, examples, audio)
    model = train(task, recipe, folder / "checkpoints", "tiny")
    return Prepared(task, examples, audio, artifact, recipe, model)
