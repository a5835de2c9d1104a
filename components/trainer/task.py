"""What is learned: the examples, targets, loss and deciding figure of either task, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tfx.types.artifact import Artifact

from components.errors import InputError
from components.examples import read_split
from components.specification import AudioSpecification, RecordSpecification, Specification
from components.trainer.augment import Augmenter, Clips
from components.trainer.fit import Figure
from components.trainer.models import build_forecaster, build_keyword_model
from components.trainer.recipe import Architecture, Training

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Split:
    """Model inputs ``[n, ...]`` and their targets ``[n, ...]``, ordered by path or time."""

    inputs: Float32
    targets: Float32


class Task(Protocol):
    """What the training loop and the compression steps need to know of a task."""

    @property
    def specification(self) -> Specification:
        """Of the features or windows."""

    @property
    def train(self) -> Split:
        """What is learned from."""

    @property
    def validation(self) -> Split:
        """What decides."""

    def build(self, architecture: Architecture) -> tf.keras.Model:
        """A fresh model of that architecture."""

    def epochs(self, training: Training) -> Callable[[int], tuple[Float32, Float32]]:
        """The examples of an epoch, augmented as the recipe says."""

    def loss(self, training: Training) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Mean loss of a batch, from targets and outputs."""

    def figure(self) -> Figure:
        """The figure that decides on validation."""


class KeywordTask:
    """Standardised features ``[n, frames, bins, 1]`` and one-hot labels ``[n, labels]``."""

    def __init__(
        self, specification: AudioSpecification, features: Artifact, audio: Artifact
    ) -> None:
        """Reads the Examples.

        Args:
            specification: of the features.
            features: the MfccTransform's Examples.
            audio: the AudioExampleGen's, for augmentation.
        """
        self.specification = specification
        self._audio = audio
        self.train = self._read(features, "train")
        self.validation = self._read(features, "validation")

    def _read(self, examples: Artifact, split: str) -> Split:
        rows = read_rows(examples, split, "path")
        shape = self.specification.features.shape
        values = np.stack([np.frombuffer(row["features"], "<f4") for row in rows])
        inputs = self.specification.standardisation(values.reshape(-1, *shape))
        return Split(inputs[..., np.newaxis], self._one_hot([row["label"] for row in rows]))

    def _one_hot(self, labels: list[bytes]) -> Float32:
        index = {label.encode(): i for i, label in enumerate(self.specification.labels)}
        unknown = sorted(set(labels) - set(index))
        if unknown:
            raise InputError(f"label {unknown[0].decode()!r} does not occur in the train split")
        return np.eye(len(index), dtype=np.float32)[[index[label] for label in labels]]

    def build(self, architecture: Architecture) -> tf.keras.Model:
        """A fresh classifier; its outputs are logits."""
        specification = self.specification
        return build_keyword_model(
            architecture, specification.features.shape, len(specification.labels)
        )

    def epochs(self, training: Training) -> Callable[[int], tuple[Float32, Float32]]:
        """See :class:`Task`; features of changed clips are computed anew by the front end."""
        rows = read_rows(self._audio, "train", "path")
        audio = np.stack([np.frombuffer(row["audio"], "<i2") for row in rows])
        clips = Clips(audio, self._one_hot([row["label"] for row in rows]))
        return Augmenter(
            clips,
            self.specification.features,
            self.specification.standardisation,
            training.augmentation,
            training.seed,
        ).epoch

    def loss(self, training: Training) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Cross-entropy of the smoothed labels."""
        return tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=training.label_smoothing
        )

    def figure(self) -> Figure:
        """Accuracy on validation."""
        answers = self.validation.targets.argmax(-1)

        def accuracy(model: tf.keras.Model) -> float:
            scores = model.predict(self.validation.inputs, batch_size=256, verbose=0)
            return float(np.mean(scores.argmax(-1) == answers))

        return Figure("accuracy", accuracy, higher_is_better=True)


class ForecastTask:
    """Flat standardised windows ``[n, steps * quantities]``, flat targets in physical units."""

    def __init__(self, specification: RecordSpecification, windows: Artifact) -> None:
        """Reads the Examples of the WindowTransform."""
        self.specification = specification
        self.train = self._read(windows, "train")
        self.validation = self._read(windows, "validation")

    def _read(self, examples: Artifact, split: str) -> Split:
        rows = read_rows(examples, split, "time")
        window = self.specification.window
        values = np.stack([np.frombuffer(row["window"], "<f4") for row in rows])
        steps = values.reshape(len(rows), window.input_steps, len(window.quantities))
        inputs = self.specification.standardisation(steps).reshape(values.shape)
        return Split(inputs, np.stack([np.frombuffer(row["target"], "<f4") for row in rows]))

    def build(self, architecture: Architecture) -> tf.keras.Model:
        """A fresh forecaster; it starts as persistence."""
        window = self.specification.window
        return build_forecaster(
            architecture,
            window.input_steps,
            window.output_steps,
            self.specification.standardisation,
        )

    def epochs(self, training: Training) -> Callable[[int], tuple[Float32, Float32]]:
        """The same windows in a new order; records are not augmented."""

        def epoch(number: int) -> tuple[Float32, Float32]:
            order = np.random.default_rng((training.seed, number)).permutation(
                len(self.train.inputs)
            )
            return self.train.inputs[order], self.train.targets[order]

        return epoch

    def loss(self, training: Training) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Mean absolute error in deviations, so that every quantity counts alike."""
        std = np.tile(
            np.asarray(self.specification.standardisation.std, np.float32),
            self.specification.window.output_steps,
        )
        return lambda targets, outputs: tf.reduce_mean(tf.abs(targets - outputs) / std)

    def figure(self) -> Figure:
        """Mean absolute error on validation, in deviations."""
        loss = self.loss(Training(epochs=1))

        def error(model: tf.keras.Model) -> float:
            outputs = model.predict(self.validation.inputs, batch_size=4096, verbose=0)
            return float(loss(self.validation.targets, outputs))

        return Figure("error", error, higher_is_better=False)


def read_rows(examples: Artifact, split: str, order: str) -> list[dict[str, Any]]:
    """The Examples of a split as mappings from feature to its one value, sorted by ``order``.

    Raises ``InputError`` for an empty split.
    """
    rows = []
    for example in read_split(examples, split):
        row = {}
        for name, feature in example.features.feature.items():
            (row[name],) = getattr(feature, feature.WhichOneof("kind")).value
        rows.append(row)
    if not rows:
        raise InputError(f"the {split} split is empty; give it more data or a larger share")
    return sorted(rows, key=lambda row: row[order])


def load_task(specification: Specification, examples: Artifact, audio: Artifact | None) -> Task:
    """The task that goes with a specification.

    Args:
        specification: of the features or windows.
        examples: the transformed Examples.
        audio: the audio Examples; records have none.
    """
    if isinstance(specification, RecordSpecification):
        return ForecastTask(specification, examples)
    if audio is None:
        raise InputError("keyword spotting needs the audio Examples beside their features")
    return KeywordTask(specification, examples, audio)
