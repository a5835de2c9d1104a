"""Distillation: whose answer the targets are, and teachers that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.trainer.distill import check_teacher, taught
from components.trainer.recipe import Distillation


def linear(weights: np.ndarray) -> tf.keras.Model:
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(weights.shape[1], use_bias=False, input_shape=weights.shape[:1])]
    )
    model.set_weights([weights])
    return model


def data(epoch: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(epoch).normal(size=(300, 4)).astype(np.float32)
    return x, np.eye(3, dtype=np.float32)[np.arange(300) % 3]


WEIGHTS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_targets_are_part_label_part_the_teachers_answer(weight: float) -> None:
    x, targets = taught(data, linear(WEIGHTS), Distillation("big", weight))(5)
    plain, labels = data(5)
    np.testing.assert_array_equal(x, plain)
    scores = np.exp(plain @ WEIGHTS)
    answers = scores / scores.sum(-1, keepdims=True)
    np.testing.assert_allclose(targets, (1 - weight) * labels + weight * answers, atol=1e-5)


def test_a_teacher_answers_as_it_does_in_use() -> None:
    """With its moving averages and all of its units, not as in its own training."""
    layers = tf.keras.layers
    teacher = tf.keras.Sequential(
        [layers.BatchNormalization(input_shape=(4,)), layers.Dropout(0.5), layers.Dense(3)]
    )
    before = [weights.copy() for weights in teacher.get_weights()]
    _, targets = taught(data, teacher, Distillation("big", 1.0))(5)
    np.testing.assert_allclose(targets, tf.nn.softmax(teacher(data(5)[0])), atol=1e-5)
    for kept, weights in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weights)


def test_a_teacher_of_other_labels_is_refused() -> None:
    with pytest.raises(InputError, match=r"big has the output shape .*same labels"):
        check_teacher(linear(WEIGHTS[:, :2]), linear(WEIGHTS), "big")


def test_a_teacher_of_other_features_is_refused() -> None:
    with pytest.raises(InputError, match=r"big has the input shape .*same features"):
        check_teacher(linear(WEIGHTS[:2]), linear(WEIGHTS), "big")


@pytest.mark.parametrize("weight", [0, -0.5, 1.5])
def test_a_share_outside_0_to_1_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        Distillation("big", weight)
