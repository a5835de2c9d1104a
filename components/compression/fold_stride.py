"""The first convolution's stride along the bins turned into channels, which LiteRT computes faster.

A convolution of one input channel leaves most lanes of an int8 kernel empty.  Bins ``s * g + c`` of
``[frames, bins, 1]`` are channel ``c`` of group ``g`` in ``[frames, bins / s, s]``, the same memory
read otherwise; with its weights dealt out likewise the convolution gives the same sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

layers = tf.keras.layers


_MOST_GROWTH = 1.5  # of the kernel; a larger one costs more bytes and sums than its lanes save


def fold_first_stride(model: tf.keras.Model) -> tf.keras.Model:
    """The same function with a first convolution whose stride along the bins is 1.

    For int8 alone: its kernels leave no lane empty then, while float32 inference gets slower.  The
    kernel grows by the zeros that fill up its groups; where it would grow more than 1.5 times, as
    3x3 with a stride of 2 does, nothing is folded.

    Args:
        model: functional; anything but one strided convolution of one channel, padded "same",
            between its one input and further layers leaves it as it is.
    """
    conv = _only_consumer(model)
    if type(conv) is not layers.Conv2D or _is_among(conv.output, model.output):
        return model
    frames, bins, channels = model.input_shape[1:]
    stride = conv.strides[1]
    if channels != 1 or stride == 1 or bins % stride or conv.padding != "same":
        return model
    kernel = conv.kernel.numpy()
    folded_kernel = _folded(kernel, bins, stride)
    if folded_kernel.size > _MOST_GROWTH * kernel.size:
        return model
    folded = layers.Conv2D(
        conv.filters,
        folded_kernel.shape[:2],
        (conv.strides[0], 1),
        padding="same",
        use_bias=conv.use_bias,
        activation=conv.activation,
        name=conv.name,
    )
    rest = tf.keras.Model(conv.output, model.output)
    inputs = tf.keras.Input(model.input_shape[1:], name=model.input.node.layer.name)
    grouped = layers.Reshape((frames, bins // stride, stride))(inputs)
    whole = tf.keras.Model(inputs, rest(folded(grouped)))
    folded.set_weights([folded_kernel, *(w.numpy() for w in conv.weights[1:])])
    return whole


def _only_consumer(model: tf.keras.Model) -> Any:
    """The layer that takes the model's one input; None where there are several of either."""
    nodes = [
        node
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
        for node in layer.inbound_nodes
        if _is_among(model.input, node.input_tensors)
    ]
    layer = nodes[0].outbound_layer if len(nodes) == 1 else None
    return layer if layer is not None and len(layer.inbound_nodes) == 1 else None


def _is_among(tensor: Any, tensors: Any) -> bool:
    return any(tensor is other for other in tf.nest.flatten(tensors))


def _folded(kernel: npt.NDArray[np.float32], bins: int, stride: int) -> npt.NDArray[np.float32]:
    """``[height, width, 1, filters]`` to ``[height, groups, stride, filters]``.

    "Same" padding of the folded convolution is symmetric, so as many groups are laid to either
    side of the middle one as the longer side needs; what was not there is zero.
    """
    height, width, _, filters = kernel.shape
    padding = max((bins // stride - 1) * stride + width - bins, 0)
    left = padding // 2  # bins before the place of an output, as TensorFlow pads
    side = max(-(-left // stride), (width - 1 - left) // stride)
    laid = np.zeros((height, (2 * side + 1) * stride, filters), np.float32)
    start = side * stride - left
    laid[:, start : start + width] = kernel[:, :, 0]
    return laid.reshape(height, 2 * side + 1, stride, filters)
