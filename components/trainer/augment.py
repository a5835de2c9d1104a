"""Training clips as one epoch sees them: moved, noisy, mixed; a pure function of seed and epoch.

Features of changed clips come from the device's own front end, so training hears what a device
would compute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.examples import SAMPLE_RATE
from components.trainer.recipe import Augmentation
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures, Standardisation

Float32 = npt.NDArray[np.float32]

_BATCH = 8  # the front end is fastest when a batch of frames fits the cache


@dataclass(frozen=True)
class Clips:
    """Clips held in memory: ``audio`` ``[n, SAMPLES]`` int16 and ``targets`` ``[n, labels]``."""

    audio: npt.NDArray[np.int16]
    targets: Float32


class Augmenter:
    """Makes the standardised features and targets of any epoch."""

    def __init__(
        self,
        clips: Clips,
        features: AudioFeatures,
        standardisation: Standardisation,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._clips = clips
        self._spec = features
        self._front_end = FrontEnd(features)
        self._standardise = standardisation
        self._augmentation = augmentation
        self._seed = seed
        self._noises = _noise_bank(np.random.default_rng(seed), clips.audio.shape[1])

    def epoch(self, number: int) -> tuple[Float32, Float32]:
        """``[n, frames, bins, 1]`` and ``[n, labels]`` in the shuffled order of this epoch."""
        rng = np.random.default_rng((self._seed, number))
        order = rng.permutation(len(self._clips.audio))
        x = np.empty((len(order), *self._spec.shape), np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            audio = np.stack([self._change(self._clips.audio[i], rng) for i in batch])
            x[start : start + len(batch)] = self._standardise(self._front_end(audio, SAMPLE_RATE))
        self._mask(x, rng)
        x, targets = self._mix(x, self._clips.targets[order], rng)
        return x[..., np.newaxis], targets

    def _change(self, clip: npt.NDArray[np.int16], rng: np.random.Generator) -> Float32:
        wanted = self._augmentation
        audio = clip.astype(np.float32) / 32768
        if wanted.speed:
            audio = _at_speed(audio, rng.uniform(1 - wanted.speed, 1 + wanted.speed))
        if wanted.shift_ms:
            most = round(wanted.shift_ms * SAMPLE_RATE / 1000)
            audio = _shifted(audio, int(rng.integers(-most, most + 1)))
        if wanted.gain_db:
            audio = audio * np.float32(10 ** (rng.uniform(-1, 1) * wanted.gain_db / 20))
        if rng.random() < wanted.noise:
            audio = self._with_noise(audio, rng)
        return np.clip(audio, -1, 1)

    def _with_noise(self, audio: Float32, rng: np.random.Generator) -> Float32:
        noise = self._noises[rng.integers(len(self._noises))]
        start = rng.integers(noise.size - audio.size + 1)
        level = float(np.sqrt(np.mean(np.square(audio)))) + 1e-4
        snr = rng.uniform(*self._augmentation.noise_snr_db)
        return audio + noise[start : start + audio.size] * np.float32(level * 10 ** (-snr / 20))

    def _mask(self, x: Float32, rng: np.random.Generator) -> None:
        """Sets a stretch of frames and a band of bins to 0, the mean of standardised features."""
        wanted = self._augmentation
        widths = (
            (1, round(wanted.time_mask_ms / self._spec.frame_step_ms)),
            (2, wanted.frequency_mask),
        )
        for axis, widest in widths:
            if not widest:
                continue
            width = rng.integers(0, widest + 1, len(x))
            start = rng.integers(0, x.shape[axis] - width + 1)
            place = np.arange(x.shape[axis])
            masked = (place >= start[:, None]) & (place < (start + width)[:, None])
            np.moveaxis(x, axis, 1)[masked] = 0

    def _mix(
        self, x: Float32, targets: Float32, rng: np.random.Generator
    ) -> tuple[Float32, Float32]:
        """mixup (Zhang et al., 2018): convex combinations of pairs of examples and targets."""
        if not self._augmentation.mixup:
            return x, targets
        other = rng.permutation(len(x))
        share = rng.beta(self._augmentation.mixup, self._augmentation.mixup, len(x))
        share = np.maximum(share, 1 - share).astype(np.float32)
        wide = share[:, np.newaxis, np.newaxis]
        narrow = share[:, np.newaxis]
        return (
            x * wide + x[other] * (1 - wide),
            targets * narrow + targets[other] * (1 - narrow),
        )


def _shifted(audio: Float32, by: int) -> Float32:
    moved = np.zeros_like(audio)
    if by >= 0:
        moved[by:] = audio[: audio.size - by]
    else:
        moved[:by] = audio[-by:]
    return moved


def _at_speed(audio: Float32, speed: float) -> Float32:
    """The clip played at ``speed`` times its rate about its middle, cut or padded to its length.

    Linear interpolation is enough for a change this small.
    """
    middle = (audio.size - 1) / 2
    places = (np.arange(audio.size) - middle) * speed + middle
    return np.interp(places, np.arange(audio.size), audio, left=0, right=0).astype(np.float32)


def _noise_bank(rng: np.random.Generator, samples: int) -> list[Float32]:
    """White, pink and brown noise of unit power, each eight clips long, to cut pieces from."""
    length = 8 * samples
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.arange(spectrum.size), 1)
    bank = []
    for exponent in (0.0, 0.5, 1.0):
        noise = np.fft.irfft(spectrum / frequency**exponent, length)
        bank.append((noise / np.sqrt(np.mean(noise**2))).astype(np.float32))
    return bank
