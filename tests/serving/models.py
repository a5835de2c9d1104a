"""Tiny SavedModels of our own, made for these tests."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

FLOATS = tf.TensorSpec([None], tf.float32)
STRINGS = tf.TensorSpec([None], tf.string)


def write_scale(base: Path, version: int | str, factor: float) -> Path:
    """A model with one input `x`: y = factor * x. Its variable lies in a checkpoint."""
    module = tf.Module()
    module.factor = tf.Variable(factor)

    @tf.function(input_signature=[FLOATS])
    def scale(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": module.factor * x}

    folder = base / str(version)
    tf.saved_model.save(module, str(folder), scale)
    return folder


def write_kinds(base: Path) -> Path:
    """A model with a signature for each thing the contract knows; version 1."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32), FLOATS])
    def weighted(pair: tf.Tensor, weight: tf.Tensor) -> dict[str, tf.Tensor]:
        total = tf.reduce_sum(pair, axis=1)
        return {"total": total * weight, "largest": tf.reduce_max(pair, axis=1)}

    @tf.function(input_signature=[STRINGS])
    def text(words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"upper": tf.strings.upper(words), "same_bytes": tf.identity(words)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.int64)])
    def longs(n: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"next": n + 1}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64)])
    def doubles(d: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"same": tf.identity(d)}

    @tf.function(input_signature=[FLOATS])
    def total_only(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def looped(n: tf.Tensor) -> dict[str, tf.Tensor]:
        """As many rounds as the first element says: slow on demand."""
        value = tf.while_loop(
            lambda i, a: i < n[0],
            lambda i, a: (i + 1, tf.sin(a) + 1.0),
            [0, tf.cast(n, tf.float32)],
        )[1]
        return {"value": value}

    def parsed(serialized: tf.Tensor) -> tf.Tensor:
        features = {"x": tf.io.FixedLenFeature([1], tf.float32)}
        return tf.io.parse_example(serialized, features)["x"]

    @tf.function(input_signature=[STRINGS])
    def sign(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x = parsed(inputs)
        classes = tf.tile(tf.constant([["plus", "minus"]]), [tf.shape(x)[0], 1])
        return {"scores": tf.concat([x, -x], axis=1), "classes": classes}

    @tf.function(input_signature=[STRINGS])
    def square(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": parsed(inputs) ** 2}

    signatures = {
        "serving_default": weighted,
        "text": text,
        "longs": longs,
        "doubles": doubles,
        "total_only": total_only,
        "looped": looped,
        "sign": sign,
        "square": square,
    }
    tf.saved_model.save(module, str(base / "1"), signatures=signatures)
    return base
