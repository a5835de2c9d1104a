"""Linear layers at a model's end multiplied into one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

layers = tf.keras.layers
Matrix = npt.NDArray[np.float64]


class _Affine:
    """A tensor as ``sum of source @ matrix + bias``; sources are tensors that cannot be folded."""

    def __init__(self, terms: list[tuple[Any, Matrix]], bias: Matrix) -> None:
        self.terms = terms
        self.bias = bias


def fold_linear_tail(model: tf.keras.Model) -> tf.keras.Model:
    """The same function with the linear layers before its output as a single Dense.

    Dense layers without activation and concatenations between them are multiplied out in float64.
    A linear forecaster becomes one fully connected operator, other forecasters lose one.  Where
    nothing would be saved the model itself is returned.

    Args:
        model: functional, with one output of rank 2.
    """
    # Of a layer called more than once Keras gives the first output; the others are sources.
    tail = _affine(model.output, {id(layer.output): layer for layer in model.layers})
    kernel = np.concatenate([matrix for _, matrix in tail.terms])
    sources = [source for source, _ in tail.terms]
    joined = layers.Concatenate()(sources) if len(sources) > 1 else sources[0]
    dense = layers.Dense(tail.bias.size, name="folded")
    folded = tf.keras.Model(model.input, dense(joined))
    # Counted in the whole, for a layer folded in may be wanted elsewhere, too, and stay.
    if folded.count_params() >= model.count_params():
        return model
    dense.set_weights([kernel.astype(np.float32), tail.bias.astype(np.float32)])
    return folded


def _affine(tensor: Any, producers: dict[int, Any]) -> _Affine:
    layer: Any = producers.get(id(tensor))
    width = tensor.shape[-1]
    if len(tensor.shape) == 2 and _is_linear_dense(layer):
        before = _affine(layer.input, producers)
        kernel = layer.kernel.numpy().astype(np.float64)
        own = layer.bias.numpy().astype(np.float64) if layer.use_bias else np.zeros(width)
        return _Affine(
            [(source, matrix @ kernel) for source, matrix in before.terms],
            before.bias @ kernel + own,
        )
    if len(tensor.shape) == 2 and isinstance(layer, layers.Concatenate):
        return _side_by_side([_affine(part, producers) for part in layer.input], width)
    return _Affine([(tensor, np.eye(width))], np.zeros(width))


def _is_linear_dense(layer: Any) -> bool:
    return isinstance(layer, layers.Dense) and layer.activation is tf.keras.activations.linear


def _side_by_side(parts: list[_Affine], width: int) -> _Affine:
    terms: dict[int, tuple[Any, Matrix]] = {}
    start = 0
    for part in parts:
        end = start + part.bias.size
        for source, matrix in part.terms:
            _, total = terms.setdefault(id(source), (source, np.zeros((len(matrix), width))))
            total[:, start:end] += matrix
        start = end
    return _Affine(
        list(terms.values()),
        np.concatenate([part.bias for part in parts]),
    )
