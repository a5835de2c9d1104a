"""The front end inside a TensorFlow graph, and the big model's SavedModel that starts with it.

The only second implementation of the features.  Its constants are those of ``edge_client``, and
``tests/components/test_graph_frontend.py`` holds its results to the NumPy front end's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.graph_audio import decode_clips, decode_features
from edge_client.big.description import BigDescription
from edge_client.features.frontend import bilinear_matrix, dct_matrix, mel_filters
from edge_client.features.resample import resample
from edge_client.features.spec import AudioFeatures, Standardisation
from edge_client.features.window import hann

SAMPLE_RATE = 16000  # Hz, of the audio a served model takes
# Of the int8 features a served model takes as well, in standard deviations of a bin.  Measured on
# the official validation clips with the big model under models/ (98.5 %): 1/16 changes two answers
# and loses none, at 2.4 kB a clip; 1/8 loses half a point for 1.8 kB, 1/4 as much for 1.2 kB.
STEP = 1 / 16


class GraphFrontEnd(tf.Module):
    """Computes one :class:`AudioFeatures` recipe from clips of ``rate`` Hz."""

    def __init__(self, spec: AudioFeatures, rate: int = SAMPLE_RATE) -> None:
        super().__init__(name="front_end")
        self.spec = spec
        self.samples = round(rate * spec.clip_seconds)
        self._resampler = None if rate == spec.sample_rate else Resampler(rate, spec.sample_rate)
        self._window = tf.constant(hann(spec.frame_length))
        spectrum_bins = spec.frame_length // 2 + 1
        if spec.kind != "stft":
            mel = mel_filters(
                spec.mel_bins, spectrum_bins, spec.sample_rate, spec.low_hz, spec.high_hz
            )
            self._mel = tf.constant(mel)
        if spec.kind == "mfcc":
            self._dct = tf.constant(dct_matrix(spec.mel_bins, spec.coefficients))
        if spec.resize is not None:
            bins = {"stft": spectrum_bins, "log_mel": spec.mel_bins, "mfcc": spec.coefficients}
            frames = 1 + (spec.samples - spec.frame_length) // spec.frame_step
            self._rows = tf.constant(bilinear_matrix(frames, spec.resize[0]))
            self._columns = tf.constant(bilinear_matrix(bins[spec.kind], spec.resize[1]).T)

    def __call__(self, audio: tf.Tensor) -> tf.Tensor:
        """``[n, samples]`` float32 in [-1, 1) to ``[n, frames, bins]`` float32."""
        spec = self.spec
        if self._resampler is not None:
            audio = self._resampler(audio)
        frames = tf.signal.frame(audio, spec.frame_length, spec.frame_step) * self._window
        features = tf.abs(tf.signal.rfft(frames, [spec.frame_length]))
        if spec.kind != "stft":
            features = tf.math.log(tf.tensordot(features, self._mel, 1) + spec.log_offset)
        if spec.kind == "mfcc":
            features = tf.tensordot(features, self._dct, 1)
        if spec.resize is not None:
            features = self._rows @ features @ self._columns
        return tf.ensure_shape(features, (None, *spec.shape))


class Resampler(tf.Module):
    """:func:`edge_client.features.resample.resample` as one convolution.

    Resampling is linear and repeats itself every ``rate / gcd`` input samples, so its answers to
    the impulses of one such block are all there is to know of it.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        super().__init__(name="resampler")
        divisor = gcd(rate, wanted)
        self._up, self._down = wanted // divisor, rate // divisor
        # Blocks on either side, more than the filter reaches: it spans 20 samples of the lower
        # of the two rates.
        reach = -(-20 // min(self._up, self._down)) + 1
        impulses = np.zeros((self._down, (2 * reach + 1) * self._down), np.float32)
        impulses[:, reach * self._down : (reach + 1) * self._down] = np.eye(self._down)
        answers = resample(impulses, rate, wanted).reshape(self._down, 2 * reach + 1, self._up)
        kernel = answers[:, ::-1].transpose(1, 0, 2).reshape(-1, 1, self._up)
        self._kernel = tf.constant(np.ascontiguousarray(kernel))
        self._reach = reach

    def __call__(self, audio: tf.Tensor) -> tf.Tensor:
        """``[n, samples]`` to ``[n, ceil(samples * up / down)]``."""
        samples = audio.shape[1]
        blocks = -(-samples // self._down)
        margin = self._reach * self._down
        padded = tf.pad(audio, [[0, 0], [margin, margin + blocks * self._down - samples]])
        convolved = tf.nn.conv1d(padded[..., tf.newaxis], self._kernel, self._down, "VALID")
        return tf.reshape(convolved, (-1, blocks * self._up))[
            :, : -(-samples * self._up // self._down)
        ]


def export_big(
    model: tf.keras.Model,
    spec: AudioFeatures,
    standardisation: Standardisation,
    labels: Sequence[str],
    path: str | Path,
) -> None:
    """Writes the SavedModel TensorFlow Serving reads; ``path`` appears only when complete.

    Three signatures, whose every output has a row for each input, as Serving's row format demands:

    - ``serving_default`` takes ``audio``, string ``[n]``: each 16-bit PCM at 16 kHz or a WAV of it
      (see :func:`components.graph_audio.decode_clips` for what is refused).  It returns
      ``probabilities`` float32 ``[n, labels]``, ``label`` string ``[n]`` and ``labels`` string
      ``[n, labels]``, the words the probabilities belong to.
    - ``features`` takes ``features``, string ``[n]``: each the bytes of int8 ``[frames, bins]``,
      the standardised features divided by :data:`STEP` and rounded.  It returns the same.
    - ``specification`` takes ``question``, string ``[n]``, and returns ``specification``, string
      ``[n]``: each the JSON of :class:`edge_client.big.description.BigDescription`, all a client
      needs to compute those features.

    Args:
        model: standardised features ``[n, frames, bins, 1]`` to probabilities ``[n, labels]``.
        spec: of the features.
        standardisation: of the features, per bin.
        labels: words in the order of the probabilities.
        path: of the folder to write; it must not exist or be empty.

    Raises:
        ValueError: model, features and labels do not fit together.
    """
    if tuple(model.input_shape[1:]) != (*spec.shape, 1) or model.output_shape[1:] != (len(labels),):
        raise ValueError(
            f"the model takes {model.input_shape} and gives {model.output_shape}; its features "
            f"are {spec.shape} and its labels {len(labels)}"
        )
    front_end = GraphFrontEnd(spec)
    mean = tf.constant(standardisation.mean, tf.float32)
    std = tf.constant(standardisation.std, tf.float32)
    words = tf.constant(list(labels))
    description = BigDescription(
        labels=tuple(labels),
        sample_rate=SAMPLE_RATE,
        samples=front_end.samples,
        features=spec,
        standardisation=standardisation,
        step=STEP,
    )
    text = tf.constant(json.dumps(description.to_json()))

    def answer(standardised: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = model(standardised[..., tf.newaxis], training=False)
        return {
            "probabilities": probabilities,
            "label": tf.gather(words, tf.argmax(probabilities, axis=-1)),
            "labels": tf.tile(words[tf.newaxis], [tf.shape(probabilities)[0], 1]),
        }

    @tf.function(input_signature=[_strings("audio")], autograph=False)
    def serve(audio: tf.Tensor) -> dict[str, tf.Tensor]:
        clips = decode_clips(audio, front_end.samples, SAMPLE_RATE)
        return answer((front_end(clips) - mean) / std)

    @tf.function(input_signature=[_strings("features")], autograph=False)
    def serve_features(features: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(decode_features(features, spec.shape) * STEP)

    @tf.function(input_signature=[_strings("question")], autograph=False)
    def specify(question: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"specification": tf.fill(tf.shape(question), text)}

    signatures = {
        "serving_default": serve,
        "features": serve_features,
        "specification": specify,
    }
    # Only what serving needs: the Keras model itself would bring its layers' own functions along.
    module = tf.Module()
    module.weights = model.variables
    module.functions = tuple(signatures.values())
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    tf.saved_model.save(module, str(aside), signatures=signatures)
    aside.replace(target)


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)
