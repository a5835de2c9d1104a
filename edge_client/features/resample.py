"""Audio from one sampling rate to another."""

from __future__ import annotations

from math import gcd

import numpy as np
import numpy.typing as npt


def resample(audio: npt.NDArray[np.float32], rate: int, wanted: int) -> npt.NDArray[np.float32]:
    """``[..., n]`` at ``rate`` Hz to ``[..., ceil(n * wanted / rate)]`` at ``wanted`` Hz.

    Polyphase filtering with SciPy's Kaiser low-pass, so nothing above the lower of the two
    Nyquist frequencies folds back.
    """
    if rate == wanted:
        return audio
    from scipy.signal import resample_poly  # late: most models never need it, it costs 0.3 s

    divisor = gcd(rate, wanted)
    return np.asarray(
        resample_poly(audio, wanted // divisor, rate // divisor, axis=-1), dtype=np.float32
    )
