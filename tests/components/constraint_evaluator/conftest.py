"""Two small tasks with models whose figures are known: tones told apart, and persistence."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.artifacts import Candidates, ConstraintReport, EdgeBundle, FeatureSpecification
from components.constraint_evaluator.executor import Executor
from components.examples import SPLITS, example, split_writers
from components.specification import (
    AudioSpecification,
    RecordSpecification,
    Specification,
    write_specification,
)
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures, Quantity, RecordWindow, Standardisation

FEATURES = AudioFeatures("log_mel", mel_bins=8, frame_length_ms=64, frame_step_ms=64)
WORDS = ("high", "low")
WINDOW = RecordWindow(
    (Quantity("T", "T (degC)", "Cel"), Quantity("RH", "rh (%)", "%RH")), 4, 2, 600
)
STEPS = ({"step": "float32"},)


@dataclass(frozen=True)
class Case:
    """A task on disk, ready for the executor."""

    examples: Artifact
    specification: Artifact
    models: Mapping[str, bytes]  # TFLite models by what they are good for

    def candidates(self, folder: Path, **recipes: str) -> Artifact:
        """A Candidates artifact with ``recipe="model"`` or ``recipe="model zlib"``."""
        for recipe, wanted in recipes.items():
            name, _, packing = wanted.partition(" ")
            data = zlib.compress(self.models[name], 9) if packing else self.models[name]
            file = "model.tflite.zlib" if packing else "model.tflite"
            place = folder / recipe
            place.mkdir(parents=True)
            (place / file).write_bytes(data)
            description = {
                "recipe": recipe,
                "steps": STEPS,
                "file": file,
                "compression": packing or "none",
            }
            (place / "candidate.json").write_text(json.dumps(description))
        return artifact(Candidates, folder)


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    made = kind()
    made.uri = str(folder)
    return made


def convert(function: Callable[[tf.Tensor], tf.Tensor], shape: tuple[int, ...]) -> bytes:
    concrete = tf.function(function).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


def write_task(
    folder: Path, rows: Mapping[str, list[dict]], specification: Specification
) -> tuple[Artifact, Artifact]:
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    with split_writers(examples) as writers:
        for split in SPLITS:
            for row in rows[split]:
                writers[split].write(example(row))
    described = artifact(FeatureSpecification, folder / "specification")
    write_specification(described.uri, specification)
    return examples, described


def tone(word: str, rng: np.random.Generator) -> np.ndarray:
    hertz = {"high": 3000, "low": 500}[word] * rng.uniform(0.9, 1.1)
    wave = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000) * 8000
    return (wave + rng.normal(0, 50, 16000)).astype("<i2")


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Tones called words. 3 in 20 test clips are labelled wrongly, so nothing beats 85 % there."""
    rng = np.random.default_rng(1)
    rows = {}
    for split in SPLITS:
        rows[split] = [
            {
                "audio": tone(WORDS[i % 2], rng).tobytes(),
                "label": WORDS[(i + (split == "test" and i < 3)) % 2],
                "path": f"{WORDS[i % 2]}/{split}-{i:02d}.wav",
                "speaker": f"speaker-{i}",
            }
            for i in range(20)
        ]
    clips = np.stack([np.frombuffer(row["audio"], "<i2") for row in rows["train"]])
    features = FrontEnd(FEATURES)(clips.astype(np.float32) / 32768)
    mean, std = features.mean((0, 1)), features.std((0, 1))
    standardised = (features - mean) / std
    means = [standardised[i::2].mean((0, 1)) for i in range(2)]
    weights = np.stack([means[0] - means[1], means[1] - means[0]], 1)

    def classifier(weights: np.ndarray) -> bytes:
        constant = tf.constant(weights, tf.float32)
        return convert(
            lambda x: tf.nn.softmax(tf.reduce_mean(x[..., 0], 1) @ constant),
            (1, *FEATURES.shape, 1),
        )

    specification = AudioSpecification(
        FEATURES, Standardisation(tuple(map(float, mean)), tuple(map(float, std))), WORDS
    )
    models = {
        "good": classifier(weights),
        "contrary": classifier(-weights),
        "undecided": classifier(weights * np.nan),
    }
    folder = tmp_path_factory.mktemp("words")
    return Case(*write_task(folder, rows, specification), models)


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A straight line and a constant: linear extrapolation is exact, repeating is 1.5 Cel off."""
    rows: dict[str, list[dict]] = {}
    for split, start in zip(SPLITS, (0, 100, 200), strict=True):
        rows[split] = []
        for first in range(start, start + 50):
            values = np.stack([np.arange(first, first + 6), np.full(6, 40)], 1).astype("<f4")
            rows[split].append(
                {
                    "window": values[:4].tobytes(),
                    "target": values[4:].tobytes(),
                    "time": 600 * (first + 3),
                }
            )
    mean, std = (25.0, 40.0), (10.0, 5.0)

    def forecaster(slope: float, offset: float) -> bytes:
        def forecast(x: tf.Tensor) -> tf.Tensor:
            records = tf.reshape(x, (4, 2)) * std + mean
            change = (records[-1] - records[-2]) * slope
            steps = [records[-1] + change, records[-1] + 2 * change]
            return tf.reshape(tf.stack(steps), (1, 4)) + offset

        return convert(forecast, (1, 8))

    models = {
        "exact": forecaster(1, 0),
        "persistence": forecaster(0, 0),
        "off": forecaster(1, 0.25),
        "lost": forecaster(float("nan"), 0),
    }
    specification = RecordSpecification(WINDOW, Standardisation(mean, std))
    folder = tmp_path_factory.mktemp("records")
    return Case(*write_task(folder, rows, specification), models)


@dataclass(frozen=True)
class Run:
    """What one call of the executor left behind."""

    blessing: Artifact
    report: Path
    bundles: list[Path]
    copy: Path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    """Runs the executor on a case; returns what is on disk, even when it raises."""

    def go(
        case: Case,
        budgets: Mapping[str, float],
        raises: type | None = None,
        measurements: str = "",
        **recipes: str,
    ):
        outputs = {
            "blessing": artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing"),
            "report": artifact(ConstraintReport, tmp_path / "report"),
            "bundle": artifact(EdgeBundle, tmp_path / "bundle"),
        }
        inputs = {
            "candidates": [case.candidates(tmp_path / "candidates", **recipes)],
            "examples": [case.examples],
            "specification": [case.specification],
        }
        properties = {
            "name": "tiny",
            "version": "7",
            "budgets": json.dumps(budgets),
            "reports": str(tmp_path / "reports"),
            "measurements": measurements,
        }
        error = None
        try:
            Executor().Do(inputs, {k: [v] for k, v in outputs.items()}, properties)
        except Exception as caught:
            if raises is None or not isinstance(caught, raises):
                raise
            error = caught
        assert (error is not None) == (raises is not None)
        left = Run(
            outputs["blessing"],
            tmp_path / "report" / "report.json",
            list((tmp_path / "bundle").iterdir()),
            tmp_path / "reports" / "tiny.json",
        )
        return left if raises is None else (left, error)

    return go
