"""What lies between a mouth and a recording: microphone, room, noise, level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve, lfilter

Float64 = npt.NDArray[np.float64]

NOISES = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # amplitude falls as 1 / f ** exponent


@dataclass(frozen=True)
class Channel:
    """One speaker's microphone and room, the same in all of the speaker's clips."""

    tilt: float  # of the spectrum, -1..1: first-order filter 1 - tilt z^-1; above 0 takes bass away
    reverberation_s: float  # in which the room's echo falls by 60 dB
    echo: float  # energy of the echo relative to the direct sound


def record(speech: Float64, channel: Channel, rate: int, random: np.random.Generator) -> Float64:
    """``[n]`` samples as they arrive through the channel, ``[m]`` with m > n for the echo."""
    tilted = lfilter([1.0, -channel.tilt], [1.0], speech)
    length = max(2, round(channel.reverberation_s * rate))
    decay = 10.0 ** (-3.0 * np.arange(length) / length)  # 60 dB over the reverberation time
    echo = random.standard_normal(length) * decay
    echo *= np.sqrt(channel.echo / np.sum(echo**2))
    echo[0] = 1.0
    return np.asarray(fftconvolve(tilted, echo))


def noise(colour: str, samples: int, random: np.random.Generator) -> Float64:
    """``[samples]`` of noise of unit power; ``colour`` is one of ``NOISES``."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    frequency = np.arange(spectrum.size, dtype=np.float64)
    # Below 1/500 of the Nyquist frequency brown noise would be all there is, and inaudible.
    shape = np.maximum(frequency, spectrum.size / 500) ** -NOISES[colour]
    shape[0] = 0.0
    coloured = np.fft.irfft(spectrum * shape, samples)
    return np.asarray(coloured / np.sqrt(np.mean(coloured**2)))
