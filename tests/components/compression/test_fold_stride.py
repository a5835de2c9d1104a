"""Folding a stride into channels changes no answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.compression.fold_stride import fold_first_stride
from components.trainer.models import KEYWORD_MODELS, build_keyword_model
from components.trainer.recipe import Architecture
from components.version import read_version

layers = tf.keras.layers


def compared(model: tf.keras.Model) -> tf.keras.Model:
    folded = fold_first_stride(model)
    x = np.random.default_rng(1).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-4, atol=1e-5)
    return folded


def one_convolution(width: int, stride: int, bins: int) -> tf.keras.Model:
    inputs = tf.keras.Input((9, bins, 1))
    conv = layers.Conv2D(5, (3, width), (2, stride), padding="same", bias_initializer="ones")
    return tf.keras.Model(inputs, layers.ReLU()(conv(inputs)))


@pytest.mark.parametrize("bins", [12, 40])
@pytest.mark.parametrize(
    ("width", "stride"), [(2, 2), (4, 2), (5, 2), (8, 2), (9, 2), (3, 4), (4, 4), (8, 4), (9, 4)]
)
def test_one_convolution(width: int, stride: int, bins: int) -> None:
    model = one_convolution(width, stride, bins)
    folded = compared(model)
    assert folded.layers[2].strides == (2, 1)
    assert folded.layers[2].kernel.shape[2] == stride
    added = 3 * 5 * width // 2
    assert folded.count_params() <= model.count_params() + added


@pytest.mark.parametrize(("width", "stride"), [(1, 2), (3, 2), (1, 4), (2, 4), (5, 4)])
def test_a_kernel_that_would_grow_by_more_than_half_stays(width: int, stride: int) -> None:
    model = one_convolution(width, stride, 40)
    assert fold_first_stride(model) is model


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_its_own_activation_stays(activation: str) -> None:
    inputs = tf.keras.Input((9, 12, 1))
    conv = layers.Conv2D(5, (3, 4), 2, padding="same", activation=activation)
    assert len(compared(tf.keras.Model(inputs, layers.Flatten()(conv(inputs)))).layers) == 4


@pytest.mark.parametrize("name", sorted(KEYWORD_MODELS))
def test_whole_architectures(name: str) -> None:
    compared(build_keyword_model(Architecture(name, width=0.1), (20, 16), 5))


@pytest.mark.parametrize("name", ["kws-a", "kws-b", "kws-c", "little"])
def test_the_versions_that_come_with_it_are_folded(name: str, repository: Path) -> None:
    version = read_version(repository / "pipeline" / "versions" / f"{name}.yaml")
    model = build_keyword_model(version.recipe.architecture, version.features.shape, 8)
    assert fold_first_stride(model) is not model


@pytest.mark.parametrize("settings", [{"strides": (2, 1)}, {"strides": 2, "padding": "valid"}])
def test_what_cannot_be_folded_stays(settings: dict) -> None:
    inputs = tf.keras.Input((9, 12, 1))
    model = tf.keras.Model(
        inputs, layers.ReLU()(layers.Conv2D(5, (3, 4), **{"padding": "same", **settings})(inputs))
    )
    assert fold_first_stride(model) is model


def test_bins_that_do_not_divide_stay() -> None:
    inputs = tf.keras.Input((9, 13, 1))
    model = tf.keras.Model(inputs, layers.ReLU()(convolution()(inputs)))
    assert fold_first_stride(model) is model


def convolution(**settings: object) -> tf.keras.layers.Layer:
    return layers.Conv2D(5, (3, 4), 2, padding="same", **settings)


class Negated(layers.Conv2D):
    """What is no plain convolution may compute anything."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return -super().call(inputs)


def behind_another_layer(x: tf.Tensor) -> tf.Tensor:
    return layers.Flatten()(convolution()(layers.ReLU()(x)))


def beside_another_layer(x: tf.Tensor) -> tf.Tensor:
    return layers.Concatenate()([layers.Flatten()(convolution()(x)), layers.Flatten()(x)])


def twice(x: tf.Tensor) -> tf.Tensor:
    conv = convolution()
    return layers.Add()([conv(x), conv(x)])


def called_again(x: tf.Tensor) -> tf.Tensor:
    conv = layers.Conv2D(1, (3, 4), 2, padding="same")
    return layers.Flatten()(conv(layers.ReLU()(conv(x))))


def of_another_kind(x: tf.Tensor) -> tf.Tensor:
    return layers.Flatten()(Negated(5, (3, 4), 2, padding="same")(x))


def depthwise(x: tf.Tensor) -> tf.Tensor:
    return layers.Flatten()(layers.DepthwiseConv2D((3, 4), 2, padding="same")(x))


def alone(x: tf.Tensor) -> tf.Tensor:
    return convolution()(x)


def answering_too(x: tf.Tensor) -> list[tf.Tensor]:
    seen = convolution()(x)
    return [layers.Flatten()(seen), seen]


@pytest.mark.parametrize(
    "draw",
    [
        behind_another_layer,
        beside_another_layer,
        twice,
        called_again,
        of_another_kind,
        depthwise,
        alone,
        answering_too,
    ],
)
def test_a_convolution_in_another_place_stays(draw) -> None:
    inputs = tf.keras.Input((9, 12, 1))
    model = tf.keras.Model(inputs, draw(inputs))
    assert fold_first_stride(model) is model


def test_a_model_of_two_inputs_stays() -> None:
    inputs = [tf.keras.Input((9, 12, 1)) for _ in range(2)]
    seen = [layers.Flatten()(convolution()(x)) for x in inputs]
    model = tf.keras.Model(inputs, layers.Concatenate()(seen))
    assert fold_first_stride(model) is model


def test_a_model_that_was_folded_is_folded_again_alike() -> None:
    """A second recipe of one version converts the same model once more."""
    model = one_convolution(4, 2, 12)
    first = compared(model)
    second = compared(model)
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
