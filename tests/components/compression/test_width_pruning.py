"""Narrowed models are what is left of the wide ones."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.compression.width_pruning import narrowed
from components.errors import InputError
from components.trainer.models import build_forecaster, build_keyword_model
from components.trainer.recipe import Architecture
from edge_client.features.spec import Standardisation

layers = tf.keras.layers

KEYWORD_ARCHITECTURES = [
    Architecture("mlp_1", 0.125),
    Architecture("mlp_2", 0.125),
    Architecture("cnn", 0.125),
    Architecture("ds_cnn", 0.0625),
    Architecture("residual_ds_cnn", 1.0, {"channels": 8, "blocks": 2}),
    Architecture("res_net", 1.0, {"stages": [8, 12], "blocks": 2}),
]
FORECAST_ARCHITECTURES = [Architecture(name, 0.25) for name in ("mlp_1", "mlp_2", "cnn")]


def build(architecture: Architecture) -> tf.keras.Model:
    """A model whose batch normalisation is as uneven as after a training."""
    tf.keras.utils.set_random_seed(1)
    if architecture in KEYWORD_ARCHITECTURES:
        model = build_keyword_model(architecture, (12, 8), 4)
    else:
        model = build_forecaster(architecture, 6, 4, Standardisation((9.0, 75.0), (8.0, 16.0)))
        change = model.get_layer("change")
        change.kernel.assign(tf.random.normal(change.kernel.shape))
    random = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            scales = random.uniform(0.5, 1.5, (2, *layer.gamma.shape))
            shifts = random.normal(0, 0.1, (2, *layer.gamma.shape))
            layer.set_weights([scales[0], shifts[0], shifts[1], scales[1]])
    return model


def silence_every_other_channel(model: tf.keras.Model) -> None:
    """Zeroes half the channels of every hidden layer, the same half wherever two are added."""
    for layer in model.layers:
        if layer.name in ("logits", "change", "physical") or not layer.get_weights():
            continue
        weights = layer.get_weights()
        if isinstance(layer, layers.DepthwiseConv2D):
            continue
        for weight in weights[: 2 if isinstance(layer, layers.BatchNormalization) else None]:
            weight[..., ::2] = 0
        layer.set_weights(weights)


@pytest.mark.parametrize(
    "architecture",
    KEYWORD_ARCHITECTURES + FORECAST_ARCHITECTURES,
    ids=[f"keyword-{a.name}" for a in KEYWORD_ARCHITECTURES]
    + [f"forecast-{a.name}" for a in FORECAST_ARCHITECTURES],
)
def test_cutting_silent_channels_changes_no_output(architecture) -> None:
    model = build(architecture)
    silence_every_other_channel(model)
    narrow = narrowed(model, 0.5)
    inputs = np.random.default_rng(2).normal(size=(5, *model.input_shape[1:])).astype(np.float32)
    expected = model(inputs).numpy()
    np.testing.assert_allclose(narrow(inputs), expected, rtol=1e-4, atol=1e-4 * np.ptp(expected))
    assert np.ptp(expected, axis=0).min() > 0
    assert narrow.count_params() < 0.75 * model.count_params()


def test_channels_that_are_added_are_cut_together() -> None:
    model = build(KEYWORD_ARCHITECTURES[4])
    narrow = narrowed(model, 0.75)
    kernels = [x for x in narrow.layers if type(x) is layers.Conv2D]
    assert [layer.filters for layer in kernels] == [6, 6, 6]
    assert all(x.output.shape[-1] == 6 for x in narrow.layers if isinstance(x, layers.Add))


def test_the_channels_with_the_smallest_folded_filters_go() -> None:
    inputs = tf.keras.Input((3,))
    normalised = layers.BatchNormalization(name="norm")(layers.Dense(4, name="hidden")(inputs))
    model = tf.keras.Model(inputs, layers.Dense(2, name="out")(layers.ReLU()(normalised)))
    kernel = np.ones((3, 4), np.float32) * [1, 2, 3, 4]
    model.get_layer("hidden").set_weights([kernel, np.arange(4)])
    ones = np.ones(4)
    model.get_layer("norm").set_weights([ones * [9, 1, 1, 1], 0 * ones, 0 * ones, ones])
    narrow = narrowed(model, 0.5)  # folded norms 27, 6, 9, 12
    np.testing.assert_array_equal(narrow.get_layer("hidden").get_weights()[1], [0, 3])


def test_what_adds_the_last_record_stays_whole() -> None:
    model = build(FORECAST_ARCHITECTURES[0])
    narrow = narrowed(model, 0.5)
    for kept, original in zip(
        narrow.get_layer("physical").get_weights(),
        model.get_layer("physical").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(kept, original)
    assert not narrow.get_layer("physical").trainable


def test_a_layer_that_cannot_be_cut_is_named() -> None:
    inputs = tf.keras.Input((4, 3))
    model = tf.keras.Model(inputs, layers.Dense(2)(layers.LSTM(5, name="memory")(inputs)))
    with pytest.raises(InputError, match=r"cannot narrow through layer 'memory' \(LSTM\)"):
        narrowed(model, 0.5)


def test_a_narrowed_and_retrained_model_still_tells_the_words(
    keywords, compressor, recipe, run
) -> None:
    steps = recipe({"step": "width_pruning", "keep": 0.5, "epochs": 8}, "float32")
    wide, narrow = compressor(recipe("float32")), compressor(steps)
    assert len(narrow.data) < len(wide.data)
    validation = keywords.task.validation
    answers = run(narrow.data, validation.inputs).argmax(-1)
    assert (answers == validation.targets.argmax(-1)).mean() > 0.8
