"""The front end in the graph computes what the device computes, and refuses what is no audio."""

from __future__ import annotations

import io
import json
import struct
import wave
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from components.graph_audio import decode_clips
from components.graph_frontend import STEP, GraphFrontEnd, Resampler, export_big
from edge_client.big.description import BigDescription
from edge_client.features.frontend import FrontEnd
from edge_client.features.resample import resample
from edge_client.features.spec import AudioFeatures, Standardisation

RECIPES = [
    AudioFeatures("mfcc"),
    AudioFeatures("log_mel", high_hz=7600.0),
    AudioFeatures("stft", frame_length_ms=16, frame_step_ms=16, resize=(32, 32)),
    AudioFeatures("mfcc", sample_rate=8000, frame_length_ms=16, frame_step_ms=16),
    AudioFeatures("log_mel", sample_rate=8000, frame_length_ms=32, resize=(24, 20)),
]
LABELS = ("down", "go", "left")


def noises(count: int = 3) -> np.ndarray:
    """Loud and quiet noise, ``[count, 16000]`` int16."""
    rng = np.random.default_rng(7)
    level = np.geomspace(20, 8000, count)[:, np.newaxis]
    return (rng.standard_normal((count, 16000)) * level).clip(-32768, 32767).astype(np.int16)


def wav(
    pcm: np.ndarray, rate: int = 16000, before: bytes = b"", channels: int = 1, width: int = 2
) -> bytes:
    """A WAV with the bytes ``before`` between its format and its data."""
    data = pcm.tobytes()
    fmt = struct.pack("<HHIIHH", 1, channels, rate, rate * width, width * channels, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + before
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def decode(recordings: tf.Tensor) -> tf.Tensor:
    return decode_clips(recordings, 16000, 16000)


def decoded(*recordings: bytes) -> np.ndarray:
    return decode(tf.constant(recordings)).numpy()


@pytest.mark.parametrize("spec", RECIPES, ids=lambda s: f"{s.kind}-{s.sample_rate}-{s.resize}")
def test_it_agrees_with_the_device_on_noise(spec: AudioFeatures):
    audio = noises() * np.float32(2**-15)
    expected = FrontEnd(spec)(audio, 16000)
    np.testing.assert_allclose(GraphFrontEnd(spec)(audio), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("spec", RECIPES, ids=lambda s: f"{s.kind}-{s.sample_rate}-{s.resize}")
def test_it_agrees_with_the_device_on_real_clips(spec: AudioFeatures, data_folder):
    path = data_folder / "mini_speech_commands.zip"
    if not path.exists():
        pytest.skip(f"no {path.name} in the folder of real data")
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".wav"))[::400]
        clips = []
        for name in names:
            with wave.open(io.BytesIO(archive.read(name))) as file:
                pcm = np.frombuffer(file.readframes(16000), "<i2")
            clips.append(np.pad(pcm, (0, 16000 - len(pcm))))
    audio = np.stack(clips) * np.float32(2**-15)
    expected = FrontEnd(spec)(audio, 16000)
    np.testing.assert_allclose(GraphFrontEnd(spec)(audio), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("wanted", [8000, 11025, 12000, 22050, 48000])
def test_resampling_is_that_of_the_device(wanted: int):
    audio = noises()[:, :15999] * np.float32(2**-15)
    expected = resample(audio, 16000, wanted)
    actual = Resampler(16000, wanted)(tf.constant(audio)).numpy()
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def test_pcm_and_wav_headers_of_any_length_in_one_batch():
    pcm = noises(5)
    odd_chunk = b"LIST" + struct.pack("<I", 5) + b"data1" + b"\0"  # padded to an even length
    long_chunk = b"junk" + struct.pack("<I", 300) + bytes(300)
    extensible = bytearray(wav(pcm[4]))
    recordings = [
        pcm[0].tobytes(),
        wav(pcm[1]),
        wav(pcm[2], before=odd_chunk),
        wav(pcm[3], before=long_chunk + odd_chunk),
        bytes(extensible) + b"LIST" + struct.pack("<I", 4) + b"tail",
    ]
    np.testing.assert_array_equal(decoded(*recordings), pcm * np.float32(2**-15))


def test_an_extensible_wav_is_read():
    pcm = noises(1)[0]
    plain = wav(pcm)
    fmt = bytearray(plain[20:36] + struct.pack("<HHI", 22, 16, 4))
    fmt[:2] = struct.pack("<H", 0xFFFE)
    fmt += struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    recording = plain[:16] + struct.pack("<I", len(fmt)) + bytes(fmt) + plain[36:]
    np.testing.assert_array_equal(decoded(recording)[0], pcm * np.float32(2**-15))


def test_short_clips_are_padded_and_long_ones_cut():
    pcm = noises(2)
    clips = decoded(pcm[0, :100].tobytes(), wav(np.concatenate([pcm[1], pcm[0]])))
    np.testing.assert_array_equal(clips[0, :100], pcm[0, :100] * np.float32(2**-15))
    assert not clips[0, 100:].any()
    np.testing.assert_array_equal(clips[1], pcm[1] * np.float32(2**-15))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"", "empty"),
        (b"\x01\x02\x03", "odd number of bytes"),
        (b"UklGRgAAAAA=" * 100, "audio is text"),
        (b"RIFF", "audio is text"),
        (b"RIFF\0\0\0\0AVI fmt ", "damaged"),
        (wav(noises(1)[0])[:30000], "truncated"),
        (wav(noises(1)[0])[:36], "no audio"),
        (wav(noises(1)[0][:0]), "no audio"),
        (wav(noises(1)[0], rate=44100), "16-bit PCM, mono, at 16000 Hz"),
        (wav(noises(1)[0], channels=2), "16-bit PCM, mono, at 16000 Hz"),
        (wav(noises(1)[0], width=1), "16-bit PCM, mono, at 16000 Hz"),
        (wav(noises(1)[0], before=b"junk\xff\xff\xff\xff"), "no audio"),
        (wav(noises(1)[0], before=b"junk\xff\xff\xff\x7f"), "no audio"),
        (wav(noises(1)[0])[:40] + b"\xff\xff\xff\xff" + bytes(100), "truncated"),
        (wav(noises(1)[0])[:40] + b"\xff\xff\xff\x7f" + bytes(100), "truncated"),
        (b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 200, "damaged"),
    ],
)
def test_what_is_no_audio_is_an_invalid_argument_and_named(bad: bytes, message: str):
    good = noises(1)[0].tobytes()
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        decoded(good, bad)
    assert "[input] [1]" in str(caught.value)


@pytest.fixture(scope="module", params=[16000, 8000])
def exported(request, tmp_path_factory):
    """A small model, its specification, and the folder it was exported to."""
    spec = AudioFeatures("mfcc", sample_rate=request.param)
    tf.keras.utils.set_random_seed(3)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((*spec.shape, 1)),
            tf.keras.layers.Conv2D(4, 3, activation="relu"),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    standardisation = Standardisation(tuple(map(float, range(10))), tuple(map(float, range(1, 11))))
    folder = tmp_path_factory.mktemp("models") / "big" / "1"
    export_big(model, spec, standardisation, LABELS, folder)
    return model, spec, standardisation, folder


def test_the_saved_model_answers_as_device_features_and_keras_do(exported):
    model, spec, standardisation, folder = exported
    pcm = noises(4)
    features = standardisation(FrontEnd(spec)(pcm * np.float32(2**-15), 16000))
    expected = model.predict(features[..., np.newaxis], verbose=0)

    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    audio = [pcm[0].tobytes(), wav(pcm[1]), pcm[2].tobytes(), wav(pcm[3])]
    answer = serve(audio=tf.constant(audio))

    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    words = [LABELS[i].encode() for i in expected.argmax(-1)]
    assert answer["label"].numpy().tolist() == words
    assert answer["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * 4


def test_the_saved_model_refuses_text(exported):
    serve = tf.saved_model.load(str(exported[3])).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="audio is text"):
        serve(audio=tf.constant([b"AAAA" * 8000]))


def test_features_of_the_device_are_answered_as_keras_answers_them(exported):
    model, spec, standardisation, folder = exported
    features = standardisation(FrontEnd(spec)(noises(4) * np.float32(2**-15), 16000))
    quantised = np.clip(np.round(features / STEP), -128, 127).astype(np.int8)
    expected = model.predict((quantised * np.float32(STEP))[..., np.newaxis], verbose=0)

    serve = tf.saved_model.load(str(folder)).signatures["features"]
    answer = serve(features=tf.constant([clip.tobytes() for clip in quantised]))

    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    words = [LABELS[i].encode() for i in expected.argmax(-1)]
    assert answer["label"].numpy().tolist() == words
    assert answer["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * 4


@pytest.mark.parametrize("excess", [-1, 1])
def test_features_of_another_size_are_an_invalid_argument_and_named(exported, excess: int):
    _, spec, _, folder = exported
    size = int(np.prod(spec.shape))
    serve = tf.saved_model.load(str(folder)).signatures["features"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"are not {size} bytes") as caught:
        serve(features=tf.constant([bytes(size), bytes(size + excess)]))
    assert "[input] [1]" in str(caught.value)


def test_the_saved_model_says_which_features_it_takes(exported):
    _, spec, standardisation, folder = exported
    ask = tf.saved_model.load(str(folder)).signatures["specification"]
    one, other = ask(question=tf.constant([b"", b"?"]))["specification"].numpy()
    assert one == other
    description = BigDescription.from_json(json.loads(one))
    assert description == BigDescription(LABELS, 16000, 16000, spec, standardisation, STEP)


def test_nothing_is_left_beside_an_exported_model(exported):
    assert [p.name for p in exported[3].parent.iterdir()] == ["1"]


def test_a_model_that_does_not_fit_is_refused_before_anything_is_written(exported, tmp_path):
    model, spec, standardisation, _ = exported
    with pytest.raises(ValueError, match="its labels 2"):
        export_big(model, spec, standardisation, LABELS[:2], tmp_path / "1")
    assert not list(tmp_path.iterdir())
