"""The NumPy front end against ``tf.signal``, of which it is the device's counterpart."""

from __future__ import annotations

import io
import wave
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from edge_client.features.frontend import FrontEnd, bilinear_matrix, dct_matrix, mel_filters
from edge_client.features.resample import resample
from edge_client.features.spec import AudioFeatures
from edge_client.features.window import hann

RECIPES = [
    AudioFeatures("mfcc"),
    AudioFeatures("mfcc", frame_length_ms=32, frame_step_ms=16, coefficients=13),
    AudioFeatures("mfcc", sample_rate=8000, frame_length_ms=16, frame_step_ms=16, mel_bins=16),
    AudioFeatures("log_mel", high_hz=7600.0),
    AudioFeatures("log_mel", frame_length_ms=30, frame_step_ms=10, low_hz=80.0, resize=(32, 32)),
    AudioFeatures("log_mel", frame_length_ms=25.0625),  # 401 samples: odd
    AudioFeatures("stft", frame_length_ms=16, frame_step_ms=8),
    AudioFeatures("stft", frame_length_ms=16, frame_step_ms=16, resize=(32, 32)),
]


def name(spec: AudioFeatures) -> str:
    frames = f"{spec.frame_length_ms:g}-{spec.frame_step_ms:g}ms"
    return f"{spec.kind}-{spec.sample_rate}-{frames}-{spec.resize}"


def tf_signal(audio: np.ndarray, spec: AudioFeatures) -> np.ndarray:
    """The recipe as TensorFlow's documentation writes it, for ``[n, samples]``."""
    stft = tf.signal.stft(audio, spec.frame_length, spec.frame_step, spec.frame_length)
    features = tf.abs(stft)
    if spec.kind != "stft":
        mel = tf.signal.linear_to_mel_weight_matrix(
            spec.mel_bins, features.shape[-1], spec.sample_rate, spec.low_hz, spec.high_hz
        )
        features = tf.math.log(tf.tensordot(features, mel, 1) + spec.log_offset)
    if spec.kind == "mfcc":
        features = tf.signal.mfccs_from_log_mel_spectrograms(features)[..., : spec.coefficients]
    if spec.resize is not None:
        features = tf.image.resize(features[..., tf.newaxis], spec.resize)[..., 0]
    return features.numpy()


@pytest.fixture(scope="module")
def real_clips(data_folder) -> np.ndarray:
    """Sixty-four clips of many speakers, ``[64, 16000]`` float32, short ones padded."""
    path = data_folder / "mini_speech_commands.zip"
    if not path.exists():
        pytest.skip(f"no {path.name} in the folder of real data")
    clips = []
    with zipfile.ZipFile(path) as archive:
        for member in sorted(n for n in archive.namelist() if n.endswith(".wav"))[::125]:
            with wave.open(io.BytesIO(archive.read(member))) as file:
                pcm = np.frombuffer(file.readframes(16000), "<i2")
            clips.append(np.pad(pcm, (0, 16000 - len(pcm))))
    return np.stack(clips) * np.float32(2**-15)


def synthetic_clips() -> np.ndarray:
    """Noise loud and faint, a chirp, a click in silence: ``[4, 16000]`` float32 of 16-bit PCM."""
    time = np.arange(16000) / 16000
    rng = np.random.default_rng(5)
    clips = np.zeros((4, 16000))
    clips[0] = rng.uniform(-0.9, 0.9, 16000)
    clips[1] = rng.uniform(-0.001, 0.001, 16000)
    clips[2] = 0.5 * np.sin(2 * np.pi * (100 * time + 3000 * time**2))
    clips[2] += rng.uniform(-1e-3, 1e-3, 16000)
    clips[3, 8000] = 0.9
    return (np.rint(clips * 32768) / 32768).astype(np.float32)


@pytest.mark.parametrize("spec", RECIPES, ids=name)
def test_features_of_real_clips_are_those_of_tf_signal(spec: AudioFeatures, real_clips):
    features = FrontEnd(spec)(real_clips, 16000)
    assert features.shape == (len(real_clips), *spec.shape)
    assert features.dtype == np.float32
    expected = tf_signal(resample(real_clips, 16000, spec.sample_rate), spec)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("spec", RECIPES, ids=name)
def test_features_of_synthetic_clips_are_those_of_tf_signal(spec: AudioFeatures):
    clips = synthetic_clips()
    features = FrontEnd(spec)(clips, 16000)
    expected = tf_signal(resample(clips, 16000, spec.sample_rate), spec)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("spec", RECIPES, ids=name)
def test_a_clip_alone_has_the_features_it_has_in_a_batch(spec: AudioFeatures):
    clips = synthetic_clips()
    alone = FrontEnd(spec)(clips[2], 16000)
    assert alone.shape == spec.shape
    np.testing.assert_allclose(alone, FrontEnd(spec)(clips, 16000)[2], rtol=0, atol=1e-4)


def test_a_clip_of_another_length_is_refused():
    with pytest.raises(ValueError, match="15999 samples; the features take 16000"):
        FrontEnd(AudioFeatures("mfcc"))(np.zeros(15999, np.float32))


@pytest.mark.parametrize("length", [128, 255, 320, 512, 640])
def test_the_window_is_tensorflows_to_the_last_bit(length: int):
    np.testing.assert_array_equal(hann(length), tf.signal.hann_window(length))


@pytest.mark.parametrize("band", [(0.0, 8000.0), (20.0, 4000.0), (80.0, 7600.0)])
def test_mel_filters_are_tensorflows(band: tuple[float, float]):
    expected = tf.signal.linear_to_mel_weight_matrix(40, 321, 16000, *band)
    np.testing.assert_allclose(mel_filters(40, 321, 16000, *band), expected, atol=1e-5)


def test_the_dct_is_orthogonal_but_for_its_first_column():
    matrix = dct_matrix(40, 40).astype(np.float64)
    gram = matrix.T @ matrix
    np.testing.assert_allclose(gram, np.diag([2.0] + [1.0] * 39), atol=1e-5)


def test_resizing_keeps_a_constant_and_its_own_size():
    np.testing.assert_allclose(bilinear_matrix(49, 32).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(bilinear_matrix(20, 20), np.eye(20))


def test_resampling_keeps_a_tone_and_drops_what_would_fold_back():
    time = np.arange(16000) / 16000
    low = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    high = np.sin(2 * np.pi * 6000 * time).astype(np.float32)
    middle = slice(100, -100)  # where the filter does not reach over an end
    np.testing.assert_allclose(resample(low, 16000, 8000)[middle], low[::2][middle], atol=2e-3)
    assert np.abs(resample(high, 16000, 8000)[middle]).max() < 5e-3
    assert resample(low, 16000, 16000) is low
