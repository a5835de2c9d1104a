"""A clip heard more than once."""

from __future__ import annotations

import numpy as np
import pytest

from edge_client.bundle import read_bundle
from edge_client.cooperation.views import VIEWS_MS, hear
from edge_client.predictor import AudioPredictor


@pytest.fixture
def predictor(keyword_bundle) -> AudioPredictor:
    return AudioPredictor(read_bundle(keyword_bundle))


@pytest.fixture
def clip(predictor) -> np.ndarray:
    random = np.random.default_rng(3)
    samples = np.arange(predictor.input.samples) / predictor.input.sample_rate
    tone = np.sin(2 * np.pi * 700 * samples) * np.linspace(0, 1, len(samples))
    return (8000 * tone + random.normal(0, 900, len(samples))).astype(np.int16)


def test_one_view_of_a_clip_as_it_is_is_the_models_own_answer(predictor, clip) -> None:
    rate = predictor.input.sample_rate
    np.testing.assert_array_equal(hear(predictor, clip, rate, (0,)), predictor(clip, rate).scores)


@pytest.mark.parametrize("ms", [-250.0, -20.0, 20.0, 5000.0])
def test_a_view_is_the_clip_moved_and_silence_where_nothing_was(predictor, clip, ms) -> None:
    rate = predictor.input.sample_rate
    moved = np.zeros_like(clip)
    by = round(ms * rate / 1000)
    if by < 0:
        moved[:by] = clip[-by:]
    elif by < len(clip):
        moved[by:] = clip[:-by]
    np.testing.assert_array_equal(hear(predictor, clip, rate, (ms,)), predictor(moved, rate).scores)


def test_views_are_averaged(predictor, clip) -> None:
    rate = predictor.input.sample_rate
    each = [hear(predictor, clip, rate, (ms,)) for ms in VIEWS_MS]
    both = hear(predictor, clip, rate)
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-6)
    assert both.sum() == pytest.approx(1, abs=0.02)  # int8 probabilities


def test_what_was_spoken_at_the_end_of_a_short_recording_is_not_cut_off(predictor, clip) -> None:
    """It is padded before it is moved."""
    rate = predictor.input.sample_rate
    short = clip[: len(clip) // 2]
    padded = np.concatenate([short, np.zeros(len(clip) - len(short), np.int16)])
    np.testing.assert_array_equal(hear(predictor, short, rate), hear(predictor, padded, rate))
