"""Folding a stride into channels changes no answer."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.compression.fold_stride import fold_first_stride
from components.trainer.models import KEYWORD_MODELS, build_keyword_model
from components.trainer.recipe import Architecture

layers = tf.keras.layers


def compared(model: tf.keras.Model) -> tf.keras.Model:
    folded = fold_first_stride(model)
    x = np.random.default_rng(1).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-4, atol=1e-5)
    return folded


@pytest.mark.parametrize("bins", [12, 40])
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 9])
def test_one_convolution(width: int, stride: int, bins: int) -> None:
    inputs = tf.keras.Input((9, bins, 1))
    conv = layers.Conv2D(5, (3, width), (2, stride), padding="same", bias_initializer="ones")
    folded = compared(tf.keras.Model(inputs, layers.ReLU()(conv(inputs))))
    assert folded.layers[2].strides == (2, 1)
    assert folded.layers[2].kernel.shape[2] == stride


@pytest.mark.parametrize("name", sorted(KEYWORD_MODELS))
def test_whole_architectures(name: str) -> None:
    compared(build_keyword_model(Architecture(name, width=0.1), (20, 16), 5))


@pytest.mark.parametrize("settings", [{"strides": (2, 1)}, {"strides": 2, "padding": "valid"}])
def test_what_cannot_be_folded_stays(settings: dict) -> None:
    inputs = tf.keras.Input((9, 12, 1))
    model = tf.keras.Model(inputs, layers.Conv2D(5, 3, **{"padding": "same", **settings})(inputs))
    assert fold_first_stride(model) is model


def test_bins_that_do_not_divide_stay() -> None:
    inputs = tf.keras.Input((9, 13, 1))
    model = tf.keras.Model(inputs, layers.Conv2D(5, 3, strides=2, padding="same")(inputs))
    assert fold_first_stride(model) is model
