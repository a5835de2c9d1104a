"""Folding keeps the function and takes the layers away."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.compression.fold import fold_linear_tail
from components.trainer.models import build_forecaster
from components.trainer.recipe import Architecture
from edge_client.features.spec import Standardisation

STANDARDISATION = Standardisation((9.0, 75.0), (8.0, 16.0))


def forecaster(name: str) -> tf.keras.Model:
    model = build_forecaster(Architecture(name, 0.25), 6, 4, STANDARDISATION)
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + random.normal(0, 0.1, variable.shape))
    return model


@pytest.mark.parametrize(
    ("name", "dense_before", "dense_after"),
    [("linear", 2, 1), ("mlp_1", 3, 2), ("mlp_2", 4, 3), ("cnn", 3, 2)],
)
def test_folded_forecasters_forecast_the_same(name, dense_before, dense_after) -> None:
    model = forecaster(name)
    folded = fold_linear_tail(model)
    inputs = np.random.default_rng(2).normal(size=(50, 12)).astype(np.float32)
    np.testing.assert_allclose(folded(inputs), model(inputs), rtol=1e-5, atol=1e-4)
    for counted, expected in ((model, dense_before), (folded, dense_after)):
        dense = [x for x in counted.layers if isinstance(x, tf.keras.layers.Dense)]
        assert len(dense) == expected
    assert folded.count_params() < model.count_params()


def test_a_model_without_a_linear_tail_is_left_alone(keywords) -> None:
    assert fold_linear_tail(keywords.model) is keywords.model


def test_a_bottleneck_is_left_alone() -> None:
    inputs = tf.keras.Input((64,))
    outputs = tf.keras.layers.Dense(64)(tf.keras.layers.Dense(2)(inputs))
    model = tf.keras.Model(inputs, outputs)
    assert fold_linear_tail(model) is model


def test_a_layer_that_is_wanted_elsewhere_makes_no_model_larger() -> None:
    """Folding the last layer would leave the first, whose other branch needs it, in place."""
    dense = tf.keras.layers.Dense
    inputs = tf.keras.Input((8,))
    shared = dense(6)(inputs)
    curved = dense(8, activation="relu")(shared)
    model = tf.keras.Model(inputs, dense(8)(tf.keras.layers.Concatenate()([shared, curved])))
    folded = fold_linear_tail(model)
    assert folded.count_params() <= model.count_params()
    assert folded is model


def test_layers_called_twice_are_no_part_of_the_tail() -> None:
    dense = tf.keras.layers.Dense
    inputs = tf.keras.Input((6,))
    twice = dense(6)
    first = twice(inputs)
    both = tf.keras.layers.Concatenate()([first, twice(tf.keras.layers.ReLU()(first))])
    model = tf.keras.Model(inputs, dense(2)(dense(12)(both)))
    folded = fold_linear_tail(model)
    values = np.random.default_rng(3).normal(size=(20, 6)).astype(np.float32)
    np.testing.assert_allclose(folded(values), model(values), rtol=1e-5, atol=1e-6)
    assert folded.count_params() < model.count_params()
