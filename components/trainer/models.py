"""The architectures, registered by name.

Keyword models take ``[batch, frames, bins, 1]`` standardised features and return logits
``[batch, labels]``.  Forecasters take flat ``[batch, steps * quantities]`` standardised records
and return flat ``[batch, steps * quantities]`` forecasts in physical units.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.errors import InputError
from components.trainer.recipe import Architecture
from edge_client.features.spec import Standardisation

layers = tf.keras.layers

KeywordBuilder = Callable[..., tf.keras.Model]
KEYWORD_MODELS: dict[str, KeywordBuilder] = {}
FORECASTERS: dict[str, Callable[..., Any]] = {}


def _register(registry: dict[str, Any], name: str) -> Callable[[Any], Any]:
    def add(builder: Any) -> Any:
        registry[name] = builder
        return builder

    return add


def build_keyword_model(
    architecture: Architecture, shape: tuple[int, int], labels: int
) -> tf.keras.Model:
    """A classifier of ``[frames, bins, 1]`` features into ``labels`` logits."""
    inputs = tf.keras.Input((*shape, 1), name="features")
    builder = _look_up(KEYWORD_MODELS, architecture, "keyword spotting")
    hidden = _call(builder, architecture, inputs)
    # float32 whatever the policy: a loss in bfloat16 loses the small differences it is made of.
    return tf.keras.Model(inputs, layers.Dense(labels, dtype="float32", name="logits")(hidden))


def build_forecaster(
    architecture: Architecture,
    input_steps: int,
    output_steps: int,
    standardisation: Standardisation,
) -> tf.keras.Model:
    """A forecaster whose hidden layers predict the change from the last record.

    The change is learned in units of the training deviation; the last record is added in the
    graph, so that what comes out is in physical units.
    """
    quantities = len(standardisation.mean)
    inputs = tf.keras.Input((input_steps * quantities,), name="records")
    builder = _look_up(FORECASTERS, architecture, "forecasting")
    hidden = _call(builder, architecture, inputs, input_steps, quantities)
    change = layers.Dense(output_steps * quantities, kernel_initializer="zeros", name="change")(
        hidden
    )
    std = np.tile(np.asarray(standardisation.std, np.float32), output_steps)
    mean = np.tile(np.asarray(standardisation.mean, np.float32), output_steps)
    last = np.zeros((input_steps * quantities, output_steps * quantities), np.float32)
    for column in range(output_steps * quantities):
        last[(input_steps - 1) * quantities + column % quantities, column] = 1.0
    # One fixed layer puts the last record and the change together; folding it into a linear
    # forecaster leaves a single fully connected operator (components.compression.fold).
    total = layers.Dense(
        output_steps * quantities,
        trainable=False,
        name="physical",
        kernel_initializer=tf.keras.initializers.Constant(
            np.concatenate([np.diag(std), last * std], axis=0)
        ),
        bias_initializer=tf.keras.initializers.Constant(mean),
    )(layers.Concatenate(name="change_and_last")([change, inputs]))
    return tf.keras.Model(inputs, total)


def check_architecture(architecture: Architecture, task: str) -> None:
    """Refuses an architecture that cannot be built, before anything else has run.

    Args:
        architecture: name and options of a version.
        task: ``keyword spotting`` or ``forecasting``.

    Raises:
        InputError: ``task`` has no such architecture, or that has no such option.
    """
    registry = KEYWORD_MODELS if task == "keyword spotting" else FORECASTERS
    signature = inspect.signature(_look_up(registry, architecture, task))
    inputs = [name for name, p in signature.parameters.items() if p.default is p.empty]
    try:
        signature.bind(**dict.fromkeys(inputs), **architecture.options)
    except TypeError as error:
        raise _wrong_option(architecture, error) from None


def _look_up(registry: dict[str, Any], architecture: Architecture, task: str) -> Any:
    if architecture.name not in registry:
        raise InputError(
            f"architecture.name: no architecture {architecture.name!r} for {task}; "
            f"choose one of {', '.join(sorted(registry))}"
        )
    return registry[architecture.name]


def _call(builder: Any, architecture: Architecture, *arguments: Any) -> Any:
    try:
        return builder(*arguments, width=architecture.width, **architecture.options)
    except TypeError as error:
        raise _wrong_option(architecture, error) from None


def _wrong_option(architecture: Architecture, error: TypeError) -> InputError:
    return InputError(f"architecture.options of {architecture.name}: {error}")


def _scaled(units: int, width: float) -> int:
    return max(1, round(units * width))


def _conv(x: Any, channels: int, kernel: Sequence[int], strides: Sequence[int] = (1, 1)) -> Any:
    x = layers.Conv2D(channels, kernel, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


@_register(KEYWORD_MODELS, "mlp_1")
def keyword_mlp_1(x: Any, width: float) -> Any:
    """One hidden layer of 256 units."""
    return layers.Dense(_scaled(256, width), activation="relu")(layers.Flatten()(x))


@_register(KEYWORD_MODELS, "mlp_2")
def keyword_mlp_2(x: Any, width: float) -> Any:
    """Two hidden layers of 256 units."""
    x = layers.Dense(_scaled(256, width), activation="relu")(layers.Flatten()(x))
    return layers.Dense(_scaled(256, width), activation="relu")(x)


@_register(KEYWORD_MODELS, "cnn")
def keyword_cnn(x: Any, width: float, stride: Sequence[int] = (2, 2)) -> Any:
    """Three 3x3 convolutions of 128 channels and a global average."""
    for strides in (stride, (1, 1), (1, 1)):
        x = _conv(x, _scaled(128, width), (3, 3), strides)
    return layers.GlobalAveragePooling2D()(x)


@_register(KEYWORD_MODELS, "ds_cnn")
def keyword_ds_cnn(x: Any, width: float, stride: Sequence[int] = (2, 2)) -> Any:
    """A 3x3 convolution and two depthwise separable ones of 256 channels."""
    channels = _scaled(256, width)
    x = _conv(x, channels, (3, 3), stride)
    for _ in range(2):
        x = layers.DepthwiseConv2D((3, 3), padding="same", use_bias=False)(x)
        x = _conv(x, channels, (1, 1))
    return layers.GlobalAveragePooling2D()(x)


@_register(KEYWORD_MODELS, "residual_ds_cnn")
def keyword_residual_ds_cnn(
    x: Any,
    width: float,
    channels: int = 40,
    blocks: int = 4,
    kernel: Sequence[int] = (10, 4),
    stride: Sequence[int] = (2, 2),
    dropout: float = 0.0,
) -> Any:
    """A wide first convolution, then depthwise separable blocks, each added to its input."""
    channels = _scaled(channels, width)
    x = _conv(x, channels, kernel, stride)
    for _ in range(blocks):
        y = layers.DepthwiseConv2D((3, 3), padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(y))
        y = layers.Conv2D(channels, (1, 1), use_bias=False)(y)
        x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization(momentum=0.9)(y)]))
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dropout(dropout)(x) if dropout else x


@_register(KEYWORD_MODELS, "res_net")
def keyword_res_net(
    x: Any,
    width: float,
    stages: Sequence[int] = (48, 96, 128),
    blocks: int = 1,
    kernel: Sequence[int] = (3, 3),
    stride: Sequence[int] = (2, 1),
    dropout: float = 0.2,
) -> Any:
    """Stages of two-convolution residual blocks; each stage after the first halves both axes.

    The Big keyword model.  Plain convolutions rather than depthwise ones: on a server's CPU
    they are faster for the accuracy, and bytes matter less there.
    """
    x = _conv(x, _scaled(stages[0], width), kernel, stride)
    for stage, channels in enumerate(stages):
        channels = _scaled(channels, width)
        for block in range(blocks):
            strides = (2, 2) if stage and not block else (1, 1)
            y = _conv(x, channels, kernel, strides)
            y = layers.Conv2D(channels, kernel, padding="same", use_bias=False)(y)
            y = layers.BatchNormalization(momentum=0.9)(y)
            if strides != (1, 1) or x.shape[-1] != channels:
                x = layers.Conv2D(channels, (1, 1), strides, padding="same", use_bias=False)(x)
                x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(layers.Add()([x, y]))
    return layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))


@_register(FORECASTERS, "linear")
def forecast_linear(x: Any, steps: int, quantities: int, width: float) -> Any:
    """No hidden layer: every change is a weighted sum of the standardised records."""
    return x


@_register(FORECASTERS, "mlp_1")
def forecast_mlp_1(x: Any, steps: int, quantities: int, width: float) -> Any:
    """One hidden layer of 128 units."""
    return layers.Dense(_scaled(128, width), activation="relu")(x)


@_register(FORECASTERS, "mlp_2")
def forecast_mlp_2(x: Any, steps: int, quantities: int, width: float) -> Any:
    """Two hidden layers of 128 units."""
    x = layers.Dense(_scaled(128, width), activation="relu")(x)
    return layers.Dense(_scaled(128, width), activation="relu")(x)


@_register(FORECASTERS, "cnn")
def forecast_cnn(x: Any, steps: int, quantities: int, width: float) -> Any:
    """A convolution of 64 channels over three steps and a hidden layer of 64 units."""
    x = layers.Reshape((steps, quantities))(x)
    x = layers.Conv1D(_scaled(64, width), 3, activation="relu")(x)
    return layers.Dense(_scaled(64, width), activation="relu")(layers.Flatten()(x))
