"""Distillation: a trained model's probabilities become part of the targets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import InputError
from components.trainer.fit import EpochData
from components.trainer.recipe import Distillation

Float32 = npt.NDArray[np.float32]

_BATCH = 128


def taught(data: EpochData, teacher: tf.keras.Model, distillation: Distillation) -> EpochData:
    """Epochs whose targets are part label, part what ``teacher`` says of the very same input.

    The teacher hears each clip as the student does, moved, noisy and mixed, for that is what
    makes its answer worth more than the label.

    Args:
        data: the examples and targets ``[n, labels]`` of an epoch.
        teacher: from the same inputs to logits ``[n, labels]``.
        distillation: the teacher's share.
    """

    @tf.function(reduce_retracing=True)
    def probabilities(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(teacher(x, training=False))

    def epoch(number: int) -> tuple[Float32, Float32]:
        x, targets = data(number)
        answers = [
            probabilities(tf.constant(x[start : start + _BATCH])).numpy()
            for start in range(0, len(x), _BATCH)
        ]
        share = np.float32(distillation.weight)
        return x, (1 - share) * targets + share * np.concatenate(answers)

    return epoch


def check_teacher(teacher: tf.keras.Model, student: tf.keras.Model, name: str) -> None:
    """Raises ``InputError`` where inputs or outputs of the two differ in shape."""
    for what, shared in (("input_shape", "features"), ("output_shape", "labels")):
        ours, theirs = getattr(student, what), getattr(teacher, what)
        if ours != theirs:
            raise InputError(
                f"training.distillation.teacher: {name} has the {what.replace('_', ' ')} {theirs}, "
                f"its student {ours}; give both versions the same {shared}"
            )
