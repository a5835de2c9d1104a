"""A clip heard more than once: test-time augmentation of a node's answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_client.audio import Float32, Int16, fit_clip
from edge_client.predictor import AudioPredictor

# Milliseconds by which a clip is moved before each hearing.  A node has a second for each clip and
# needs a millisecond.  Of the sets that ``python -m tests.benchmarks.cooperation_views`` tries,
# the one under which the official validation clips are likeliest (docs/adr/0007-cooperation.md).
VIEWS_MS = (-20.0, 20.0)


def hear(
    predictor: AudioPredictor,
    audio: Int16 | Float32,
    rate: int,
    views_ms: tuple[float, ...] = VIEWS_MS,
) -> Float32:
    """The mean of what a model says to one recording moved a little in time.

    Args:
        predictor: the model.
        audio: ``[n]`` or ``[n, channels]``, int16 or float32 in [-1, 1).
        rate: its sampling rate in Hz.
        views_ms: how far the clip is moved each time, later if above 0; what moves in is silent.

    Returns:
        ``[labels]`` probabilities.
    """
    taken = predictor.input
    clip = fit_clip(audio, rate, taken.sample_rate, taken.samples)
    moved = (_moved(clip, round(ms * taken.sample_rate / 1000)) for ms in views_ms)
    scores = [predictor(each, taken.sample_rate).scores for each in moved]
    return np.mean(scores, axis=0, dtype=np.float32)


def _moved(clip: Int16, samples: int) -> npt.NDArray[np.int16]:
    silence = np.zeros(min(abs(samples), len(clip)), clip.dtype)
    kept = len(clip) - len(silence)
    if samples >= 0:
        return np.concatenate([silence, clip[:kept]])
    return np.concatenate([clip[len(clip) - kept :], silence])
