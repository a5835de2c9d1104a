"""The first convolution's stride along the bins turned into channels, which LiteRT computes faster.

A convolution of one input channel leaves most lanes of an int8 kernel empty.  Bins ``s * g + c`` of
``[frames, bins, 1]`` are channel ``c`` of group ``g`` in ``[frames, bins / s, s]``, the same memory
read otherwise; with its weights dealt out likewise the convolution gives the same sums.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

layers = tf.keras.layers


def fold_first_stride(model: tf.keras.Model) -> tf.keras.Model:
    """The same function with a first convolution whose stride along the bins is 1.

    Args:
        model: functional; anything but a strided convolution of one channel, padded "same",
            behind its input leaves it as it is.
    """
    conv = model.layers[1] if len(model.layers) > 1 else None
    if not isinstance(conv, layers.Conv2D) or isinstance(conv, layers.DepthwiseConv2D):
        return model
    frames, bins, channels = model.input_shape[1:]
    stride = conv.strides[1]
    if channels != 1 or stride == 1 or bins % stride or conv.padding != "same":
        return model
    folded_kernel = _folded(conv.kernel.numpy(), bins, stride)
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
