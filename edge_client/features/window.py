"""The Hann window to the last bit of ``tf.signal``'s, on every processor.

One unit in the last place of a window value is enough to move the logarithm of a quiet mel bin
beside a loud one by 2e-4, and NumPy's own float32 cosine differs by that much between
processors.  So the cosine is written out in float32 additions and multiplications, which are
exact everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

# Minimax coefficients of the float32 sine and cosine that TensorFlow's CPU kernels evaluate
# (Eigen), highest power of x squared first, and pi/2 cut into parts that multiply exactly.
_COS = (2.43722661e-05, -1.38865202e-03, 4.16666195e-02, -0.5, 1.0)
_SIN = (-1.95923411e-04, 8.33268737e-03, -1.66666620e-01)
_HALF_PI = (1.5703125, 4.83989716e-04, -1.62865035e-07, -5.56443155e-11)


def hann(length: int) -> Float32:
    """The Hann window of ``tf.signal.stft``, ``[length]``, which may be 2 or more.

    Periodic for an even length; for an odd one ``tf.signal`` makes it symmetric.
    """
    period = length - length % 2
    turn = np.float32(2 * np.pi) * np.arange(length, dtype=np.float32) / np.float32(period)
    return np.float32(0.5) - np.float32(0.5) * _cos(turn)


def _cos(angle: Float32) -> Float32:
    """Cosine of angles of a few turns, in float32 throughout."""
    quarter = np.rint(angle * np.float32(2 / np.pi))
    for part in _HALF_PI:
        angle = angle - quarter * np.float32(part)
    square = angle * angle
    cosine = _polynomial(_COS, square)
    sine = _polynomial(_SIN, square) * square * angle + angle
    quadrant = quarter.astype(int) % 4
    return np.choose(quadrant, [cosine, -sine, -cosine, sine])


def _polynomial(coefficients: tuple[float, ...], x: Float32) -> Float32:
    """Horner's scheme in float32."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + np.float32(coefficient)
    return value
