"""Keras model to TFLite: float32, float16, weights only, full int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.compression.fold import fold_linear_tail
from components.compression.fold_stride import fold_first_stride
from components.compression.steps import Context, NoOptions, Stage, register
from components.quiet import quiet
from components.specification import AudioSpecification
from components.trainer.task import Task


@dataclass(frozen=True)
class Int8:
    """Options of full-integer quantization."""

    per_channel: bool = True  # one scale per output channel; False is smaller and coarser
    samples: int = 400  # of train, that the ranges of activations are measured on
    seed: int = 1

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}; it must be above 0")


@register("float32", Stage.CONVERSION, NoOptions)
def float32(model: tf.keras.Model, options: NoOptions, context: Context) -> bytes:
    """Nothing is quantized."""
    return _convert(_converter(fold_linear_tail(model), context.task))


@register("float16", Stage.CONVERSION, NoOptions)
def float16(model: tf.keras.Model, options: NoOptions, context: Context) -> bytes:
    """Weights are stored as float16 and computed with as float32."""
    converter = _converter(fold_linear_tail(model), context.task)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _convert(converter)


@register("weights_only", Stage.CONVERSION, NoOptions)
def weights_only(model: tf.keras.Model, options: NoOptions, context: Context) -> bytes:
    """Weights of 1,024 values and more are stored as int8 (dynamic range quantization)."""
    converter = _converter(fold_linear_tail(model), context.task)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _convert(converter)


@register("int8", Stage.CONVERSION, Int8)
def int8(model: tf.keras.Model, options: Int8, context: Context) -> bytes:
    """Weights, activations, input and output are int8; only integer arithmetic is left."""
    inputs = context.task.train.inputs
    count = min(options.samples, len(inputs))
    chosen = np.random.default_rng(options.seed).choice(len(inputs), count, replace=False)

    def representative() -> Iterator[list[np.ndarray]]:
        for row in chosen:
            yield [inputs[row : row + 1]]

    converter = _converter(fold_first_stride(fold_linear_tail(model)), context.task)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel = not options.per_channel
    return _convert(converter)


def _converter(model: tf.keras.Model, task: Task) -> tf.lite.TFLiteConverter:
    """Of the model as a device runs it: one input at a time, probabilities out for keywords."""
    classifies = isinstance(task.specification, AudioSpecification)

    @tf.function(input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)])
    def answer(features: tf.Tensor) -> tf.Tensor:
        outputs = model(features, training=False)
        return tf.nn.softmax(outputs) if classifies else outputs

    return tf.lite.TFLiteConverter.from_concrete_functions([answer.get_concrete_function()], model)


def _convert(converter: tf.lite.TFLiteConverter) -> bytes:
    with quiet():
        return converter.convert()
