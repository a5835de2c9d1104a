"""Sparse weights: the smallest become zero while the model is trained on; zeros pack well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot

from components.compression.finetune import FineTuning, fine_tune, steps_of_epoch
from components.compression.steps import Context, Stage, register
from components.trainer.fit import Figure

sparsity = tfmot.sparsity.keras

_PRUNED = (tf.keras.layers.Dense, tf.keras.layers.Conv1D, tf.keras.layers.Conv2D)
_LEFT_DENSE = tf.keras.layers.DepthwiseConv2D  # which Keras derives from Conv2D

_UPDATES = 50  # how often the masks change on the way to the final sparsity
_SHARE_OF_STEPS = 0.5  # by then the final sparsity is reached, the rest recovers


@dataclass(frozen=True)
class MagnitudePruning(FineTuning):
    """Options: the share of zeros at the end, and how to train on the way there."""

    sparsity: float = 0.5
    initial_sparsity: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 1:
            raise ValueError("epochs is 0; pruning takes place while training, so give at least 1")
        if not 0 <= self.initial_sparsity <= self.sparsity < 1 or not self.sparsity:
            raise ValueError(
                f"initial_sparsity and sparsity are {self.initial_sparsity} and {self.sparsity}; "
                "they must satisfy 0 <= initial_sparsity <= sparsity < 1 and sparsity > 0"
            )


@register("magnitude_pruning", Stage.WEIGHTS, MagnitudePruning)
def magnitude_pruning(
    model: tf.keras.Model, options: MagnitudePruning, context: Context
) -> tf.keras.Model:
    """Kernels of Dense and ordinary convolution layers with a share of zeros.

    The sparsity follows the polynomial decay of Zhu and Gupta (2017), "To prune, or not to
    prune", through the first half of the steps.  Depthwise kernels stay dense: they are few and
    dear.
    """
    steps = steps_of_epoch(context) * options.epochs
    frequency = max(1, int(steps * _SHARE_OF_STEPS) // _UPDATES)
    # Masks change at multiples of the frequency only, so the last must be one of these.
    last = max(1, int(steps * _SHARE_OF_STEPS) // frequency) * frequency
    schedule = sparsity.PolynomialDecay(
        options.initial_sparsity, options.sparsity, begin_step=0, end_step=last, frequency=frequency
    )

    pruned: list[Any] = []

    def wrap(layer: Any) -> Any:
        if layer.trainable and isinstance(layer, _PRUNED) and not isinstance(layer, _LEFT_DENSE):
            pruned.append(sparsity.prune_low_magnitude(layer, schedule))
            return pruned[-1]
        return layer

    wrapped = tf.keras.models.clone_model(_copy(model), clone_function=wrap)
    for layer in pruned:
        layer.pruning_step.assign(0)  # what its Keras callback does when a training begins
    fine_tune(wrapped, options, context, _only_when_sparse(context.task.figure(), pruned[0], last))
    for layer in pruned:  # the masks follow the weights of the best epoch; the weights once more
        layer.pruning_obj.weight_mask_op()
    return _copy(sparsity.strip_pruning(wrapped))


def _copy(model: tf.keras.Model) -> tf.keras.Model:
    """The same model of layers of its own: wrapping changes layers, unwrapping leaves traces."""
    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _only_when_sparse(figure: Figure, layer: Any, last: int) -> Figure:
    """Counts no epoch that ended before the final sparsity was reached."""

    def measure(model: tf.keras.Model) -> float:
        value = figure.measure(model)
        return value if int(layer.pruning_step) >= last else figure.worst

    return replace(figure, measure=measure)
