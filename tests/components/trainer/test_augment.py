"""Augmentation: a pure function of seed and epoch, and each change does what it says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from components.trainer.augment import Augmenter, Clips
from components.trainer.recipe import Augmentation
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures, Standardisation

FEATURES = AudioFeatures("log_mel", mel_bins=16, high_hz=7600)
STANDARDISATION = Standardisation((0.0,) * 16, (1.0,) * 16)


@pytest.fixture
def clips() -> Clips:
    random = np.random.default_rng(3)
    audio = random.integers(-8000, 8000, (12, 16000)).astype(np.int16)
    return Clips(audio, np.eye(4, dtype=np.float32)[np.arange(12) % 4])


def augmenter(clips: Clips, seed: int = 1, **changes: object) -> Augmenter:
    return Augmenter(clips, FEATURES, STANDARDISATION, Augmentation(**changes), seed)  # type: ignore[arg-type]


def everything(clips: Clips, seed: int = 1) -> Augmenter:
    return augmenter(
        clips,
        seed,
        shift_ms=100,
        speed=0.1,
        gain_db=6,
        noise=0.8,
        time_mask_ms=100,
        frequency_mask=4,
        mixup=0.2,
    )


def test_an_epoch_depends_on_seed_and_number_alone(clips: Clips) -> None:
    first, again = everything(clips), everything(clips)
    again.epoch(0)
    for one, other in zip(first.epoch(5), again.epoch(5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first.epoch(5)[0], first.epoch(6)[0])
    assert not np.array_equal(first.epoch(5)[0], everything(clips, seed=2).epoch(5)[0])


def test_without_changes_the_features_are_the_front_ends(clips: Clips) -> None:
    x, targets = augmenter(clips).epoch(0)
    plain = FrontEnd(FEATURES)(clips.audio.astype(np.float32) / 32768)
    order = np.random.default_rng((1, 0)).permutation(12)
    np.testing.assert_allclose(x[..., 0], plain[order], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(targets, clips.targets[order])


def test_features_of_another_rate_hear_the_clip_resampled_and_moved_by_its_own_rate() -> None:
    audio = np.zeros((1, 16000), np.int16)
    audio[0, 8000] = 32767
    slow = AudioFeatures("log_mel", sample_rate=8000, mel_bins=16, high_hz=3800)
    made = Augmenter(
        Clips(audio, np.ones((1, 1), np.float32)),
        slow,
        STANDARDISATION,
        Augmentation(shift_ms=250),
        seed=1,
    )
    # Frames of 40 ms every 20 ms: the click stands 12.5 frames to either side at most.
    loudest = [int(made.epoch(number)[0][0, :, :, 0].sum(-1).argmax()) for number in range(40)]
    assert made.epoch(0)[0].shape == (1, *slow.shape, 1)
    middle = int(FrontEnd(slow)(audio[0] * np.float32(2**-15), 16000).sum(-1).argmax())
    distances = np.abs(np.array(loudest) - middle)
    assert 9 <= distances.max() <= 13


def test_mixup_mixes_targets_as_it_mixes_inputs(clips: Clips) -> None:
    _, targets = augmenter(clips, mixup=1.0).epoch(0)
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)
    assert ((targets > 0.01) & (targets < 0.99)).any()
    assert (targets.max(-1) >= 0.5 - 1e-6).all()


def test_masks_set_whole_frames_and_bands(clips: Clips) -> None:
    x, _ = augmenter(clips, time_mask_ms=200, frequency_mask=5).epoch(0)
    zeros = x[..., 0] == 0
    frames, bins = zeros.all(2).sum(1), zeros.all(1).sum(1)
    assert frames.max() <= 10 and bins.max() <= 5
    assert frames.max() > 0 and bins.max() > 0


@pytest.mark.parametrize("changes", [{"shift_ms": 500}, {"speed": 0.3}, {"gain_db": 20}])
def test_changes_stay_finite_and_within_the_clip(clips: Clips, changes: dict[str, float]) -> None:
    x: npt.NDArray[np.float32] = augmenter(clips, **changes).epoch(0)[0]
    assert x.shape == (12, *FEATURES.shape, 1)
    assert np.isfinite(x).all()
