"""Framing, window, spectrum, mel, log, DCT and resizing in NumPy, for device and training alike.

Agrees with ``tf.signal`` to 1e-4 on real clips (``tests/edge_client/test_frontend.py``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import fft

from edge_client.features.resample import resample
from edge_client.features.spec import AudioFeatures
from edge_client.features.window import hann

Float32 = npt.NDArray[np.float32]


class FrontEnd:
    """Computes one :class:`AudioFeatures` recipe; the constants are worked out once.

    All arithmetic is float32: a float64 FFT would be slower and further from what the big
    model's graph computes.
    """

    def __init__(self, spec: AudioFeatures) -> None:
        self.spec = spec
        self._window = hann(spec.frame_length)
        # Everything after the magnitudes and the logarithm is linear and becomes one matrix each.
        self._mel = (
            None
            if spec.kind == "stft"
            else mel_filters(
                spec.mel_bins,
                spec.frame_length // 2 + 1,
                spec.sample_rate,
                spec.low_hz,
                spec.high_hz,
            )
        )
        self._dct = dct_matrix(spec.mel_bins, spec.coefficients) if spec.kind == "mfcc" else None
        if spec.resize is None:
            self._resize = None
        else:
            frames, bins = _unresized_shape(spec)
            self._resize = (
                bilinear_matrix(frames, spec.resize[0]),
                bilinear_matrix(bins, spec.resize[1]).T.copy(),
            )

    def __call__(self, audio: Float32, rate: int | None = None) -> Float32:
        """Features of ``audio``.

        Args:
            audio: ``[samples]`` or ``[batch, samples]`` float32 in [-1, 1), ``clip_seconds`` long.
            rate: its sampling rate in Hz; the recipe's own when left out.

        Returns:
            ``[frames, bins]`` or ``[batch, frames, bins]`` float32.

        Raises:
            ValueError: the audio is not as long as the recipe's clip.
        """
        spec = self.spec
        if rate is not None:
            audio = resample(audio, rate, spec.sample_rate)
        if audio.shape[-1] != spec.samples:
            raise ValueError(
                f"audio has {audio.shape[-1]} samples; the features take {spec.samples} "
                f"({spec.clip_seconds:g} s at {spec.sample_rate} Hz)"
            )
        spectrum = fft.rfft(self._frames(audio) * self._window, axis=-1)
        features = np.abs(spectrum)
        if self._mel is not None:
            features = features @ self._mel
            features += np.float32(spec.log_offset)
            np.log(features, out=features)
        if self._dct is not None:
            features = features @ self._dct
        if self._resize is not None:
            rows, columns = self._resize
            features = rows @ features @ columns
        return features

    def _frames(self, audio: Float32) -> Float32:
        """A view ``[..., frames, frame_length]``; ``sliding_window_view`` takes 9 µs longer."""
        length, step = self.spec.frame_length, self.spec.frame_step
        *outer, hop = audio.strides
        return np.lib.stride_tricks.as_strided(
            audio,
            (*audio.shape[:-1], 1 + (audio.shape[-1] - length) // step, length),
            (*outer, hop * step, hop),
            writeable=False,
        )


def hertz_to_mel(hertz: npt.ArrayLike) -> Float32:
    """HTK mel scale: 1127 ln(1 + f / 700) (The HTK Book, section 5.4)."""
    one = np.float32(1)
    return np.float32(1127) * np.log(one + np.asarray(hertz, np.float32) / np.float32(700))


def mel_filters(
    mel_bins: int, spectrum_bins: int, sample_rate: int, low_hz: float, high_hz: float
) -> Float32:
    """Triangular filters, equally wide in mel: ``[spectrum_bins, mel_bins]``.

    The bin at 0 Hz feeds no filter, as in ``tf.signal.linear_to_mel_weight_matrix``; float32
    throughout, as there, for the reason given in ``window``.
    """
    step = np.float32(sample_rate / 2 / (spectrum_bins - 1))
    bins = hertz_to_mel(np.arange(1, spectrum_bins, dtype=np.float32) * step)[:, np.newaxis]
    low, high = hertz_to_mel(np.float32(low_hz)), hertz_to_mel(np.float32(high_hz))
    width = (high - low) / np.float32(mel_bins + 1)
    edges = low + width * np.arange(mel_bins + 2, dtype=np.float32)
    lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - lower) / (center - lower)
    falling = (upper - bins) / (upper - center)
    filters = np.maximum(np.float32(0), np.minimum(rising, falling))
    return np.pad(filters, ((1, 0), (0, 0)))


def dct_matrix(mel_bins: int, coefficients: int) -> Float32:
    """The first ``coefficients`` columns of the DCT-II scaled by sqrt(2 / mel_bins).

    The scaling is that of ``tf.signal.mfccs_from_log_mel_spectrograms`` (HTK's).
    """
    n = np.arange(mel_bins)[:, np.newaxis]
    k = np.arange(coefficients)
    matrix = np.cos(np.pi * k * (2 * n + 1) / (2 * mel_bins)) * np.sqrt(2.0 / mel_bins)
    return matrix.astype(np.float32)


def bilinear_matrix(size: int, wanted: int) -> Float32:
    """``[wanted, size]``: bilinear resizing along one axis with half-pixel centres."""
    position = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    left = np.floor(position).astype(int)
    right = np.minimum(left + 1, size - 1)
    share = position - left
    matrix = np.zeros((wanted, size))
    rows = np.arange(wanted)
    np.add.at(matrix, (rows, left), 1 - share)
    np.add.at(matrix, (rows, right), share)
    return matrix.astype(np.float32)


def _unresized_shape(spec: AudioFeatures) -> tuple[int, int]:
    return replace(spec, resize=None).shape
