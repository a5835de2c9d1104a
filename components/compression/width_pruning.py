"""Narrower layers: the channels that matter least are cut out, then the model is trained on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.compression.finetune import FineTuning, fine_tune
from components.compression.steps import Context, Stage, register
from components.errors import InputError

layers = tf.keras.layers
Ids = npt.NDArray[np.int64]

_NEW_CHANNELS = (layers.Dense, layers.Conv1D, layers.Conv2D)  # kernel [..., in, out]


@dataclass(frozen=True)
class WidthPruning(FineTuning):
    """Options: the share of each layer's channels that stays, and how to train afterwards."""

    keep: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.keep < 1:
            raise ValueError(f"keep is {self.keep}; it must lie between 0 and 1")


@register("width_pruning", Stage.SHAPE, WidthPruning)
def width_pruning(model: tf.keras.Model, options: WidthPruning, context: Context) -> tf.keras.Model:
    """The same architecture with ``keep`` of the channels or units of every hidden layer.

    A channel matters as much as the L1 norm of the filter that makes it (Li et al., 2017,
    "Pruning filters for efficient ConvNets"), with batch normalisation folded in.  Channels
    joined by an addition stay or go together.
    """
    narrow = narrowed(model, options.keep)
    fine_tune(narrow, options, context)
    return narrow


def narrowed(model: tf.keras.Model, keep: float) -> tf.keras.Model:
    """A narrower copy of a functional model, not trained any further.

    Raises:
        InputError: a layer with weights is of a type this cannot cut.
    """
    channels = _Channels(model)
    kept = channels.choose(keep)
    sizes = {
        layer.name: int(kept[channels.out(layer)].sum())
        for layer in model.layers
        if _makes_channels(layer)
    }

    def smaller(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in sizes:
            config["units" if isinstance(layer, layers.Dense) else "filters"] = sizes[layer.name]
        return layer.__class__.from_config(config)

    narrow = tf.keras.models.clone_model(model, clone_function=smaller)
    for layer in model.layers:
        weights = layer.get_weights()
        if not weights:
            continue
        outputs = kept[channels.out(layer)]
        if _makes_channels(layer):
            inputs = kept[channels.into(layer)]
            cut = [weights[0][..., inputs, :][..., outputs], *(w[outputs] for w in weights[1:])]
        elif isinstance(layer, layers.DepthwiseConv2D):
            cut = [weights[0][:, :, outputs], *(w[outputs] for w in weights[1:])]
        else:
            cut = [w[outputs] for w in weights]
        narrow.get_layer(layer.name).set_weights(cut)
    return narrow


class _Channels:
    """Which channel each place of each tensor's last axis carries.

    Channels are numbered through the whole model; a layer that keeps them (batch normalisation,
    depthwise convolution, flattening) passes its input's numbers on, an addition makes the
    numbers of its inputs the same.
    """

    def __init__(self, model: tf.keras.Model) -> None:
        self._model = model
        self._count = 0
        self._carried: dict[int, Ids] = {}
        self._same = np.zeros(0, np.int64)  # channel to the one that stands for all its equals
        self._fixed: list[Ids] = []
        for layer in model.layers:
            self._carried[id(layer.output)] = self._through(layer)
        self._fixed.append(self._carried[id(model.output)])

    def out(self, layer: Any) -> Ids:
        """Channels of a layer's output."""
        return self._same[self._carried[id(layer.output)]]

    def into(self, layer: Any) -> Ids:
        """Channels of a layer's one input."""
        return self._same[self._carried[id(layer.input)]]

    def choose(self, keep: float) -> npt.NDArray[np.bool_]:
        """For each channel whether it stays: the most important ones of every layer."""
        fixed = np.zeros(self._count, bool)
        for ids in self._fixed:
            fixed[self._same[ids]] = True
        importance: dict[tuple[int, ...], Any] = defaultdict(float)
        for layer in self._model.layers:
            if _makes_channels(layer):
                norms = self._norms(layer)
                # Layers that share channels have a say of equal weight.
                importance[tuple(self.out(layer))] += norms / max(norms.mean(), 1e-12)
        kept = fixed.copy()
        for group, scores in importance.items():
            ids = np.array(group)
            if not fixed[ids].any():
                most = np.argsort(-scores, kind="stable")[: max(1, round(keep * len(ids)))]
                kept[ids[most]] = True
        return kept

    def _through(self, layer: Any) -> Ids:
        if isinstance(layer, layers.InputLayer):
            return self._new(layer, fixed=True)
        if _makes_channels(layer):
            if not layer.trainable:  # its weights mean something, such as "add the last record"
                self._fixed.append(self._carried[id(layer.input)])
            return self._new(layer, fixed=not layer.trainable)
        if isinstance(layer, layers.Add):
            first, *others = (self._carried[id(tensor)] for tensor in layer.input)
            for other in others:
                self._unite(first, other)
            return first
        if isinstance(layer, layers.Concatenate):
            return np.concatenate([self._carried[id(tensor)] for tensor in layer.input])
        incoming = self._carried[id(layer.input)]
        if isinstance(layer, layers.Flatten):
            return np.tile(incoming, layer.output.shape[-1] // len(incoming))
        if isinstance(layer, layers.Reshape):
            self._fixed.append(incoming)
            return self._new(layer, fixed=True)
        one_to_one = layer.output.shape[-1] == len(incoming)
        if layer.get_weights() and not isinstance(
            layer, layers.BatchNormalization | layers.DepthwiseConv2D
        ):
            one_to_one = False
        if not one_to_one:
            raise InputError(
                f"width_pruning: cannot narrow through layer {layer.name!r} "
                f"({type(layer).__name__}); leave the step out for this architecture"
            )
        return incoming

    def _new(self, layer: Any, fixed: bool) -> Ids:
        tensor = layer.output
        ids = np.arange(self._count, self._count + tensor.shape[-1])
        self._count += len(ids)
        self._same = np.concatenate([self._same, ids])
        if fixed:
            self._fixed.append(ids)
        return ids

    def _unite(self, first: Ids, other: Ids) -> None:
        for a, b in zip(self._same[first], self._same[other], strict=True):
            self._same[self._same == b] = a

    def _norms(self, layer: Any) -> npt.NDArray[np.float64]:
        kernel = layer.get_weights()[0]
        norms = np.abs(kernel).sum(axis=tuple(range(kernel.ndim - 1)), dtype=np.float64)
        for node in layer.outbound_nodes:
            following = node.outbound_layer
            if isinstance(following, layers.BatchNormalization) and following.scale:
                deviation = np.sqrt(following.moving_variance.numpy() + following.epsilon)
                norms = norms * np.abs(following.gamma.numpy()) / deviation
        return norms


def _makes_channels(layer: Any) -> bool:
    return isinstance(layer, _NEW_CHANNELS) and not isinstance(layer, layers.DepthwiseConv2D)
