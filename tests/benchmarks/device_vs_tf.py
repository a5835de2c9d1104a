"""The device client beside the way keyword spotting is usually written for a Pi, in one run.

    python -m tests.benchmarks.device_vs_tf BUNDLE WAV...

Both start from the bytes of a WAV file and end with the scores, batch 1.  "Usual" is eager
TensorFlow: decode, cast, STFT, magnitude, linear-to-mel, logarithm, MFCC, then ``set_tensor``,
``invoke`` and ``get_tensor`` of ``tf.lite.Interpreter``, with the mel matrix made beforehand, as
the published scripts time it.  The MFCCs are computed as those scripts do even where the bundle's
model takes the log-mel spectrogram.  The two take turns, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich.console import Console
from rich.table import Table

from edge_client.audio import read_wav
from edge_client.bundle import AudioInput, Bundle, read_bundle
from edge_client.cli.messages import native_silence
from edge_client.errors import EdgeError
from edge_client.predictor import AudioPredictor, Scores

WARM_UP = 30


class Usual:
    """Eager ``tf.signal`` and ``tf.lite``."""

    def __init__(self, bundle: Bundle) -> None:
        import tensorflow as tf

        taken = bundle.manifest.input
        assert isinstance(taken, AudioInput)
        if taken.features.kind == "stft" or taken.features.resize is not None:
            raise EdgeError("the usual way is MFCC or log-mel; this bundle takes something else")
        self._tf, self._spec, self._samples = tf, taken.features, taken.samples
        self._mel = tf.signal.linear_to_mel_weight_matrix(
            taken.features.mel_bins,
            taken.features.frame_length // 2 + 1,
            taken.features.sample_rate,
            taken.features.low_hz,
            taken.features.high_hz,
        )
        self._mean = tf.constant(taken.standardisation.mean, tf.float32)
        self._std = tf.constant(taken.standardisation.std, tf.float32)
        self._lite = tf.lite.Interpreter(model_content=bundle.model)
        self._lite.allocate_tensors()
        self._input = self._lite.get_input_details()[0]
        self._output = self._lite.get_output_details()[0]

    def __call__(self, wav: bytes) -> tuple[np.ndarray, float, float]:
        """Scores, and milliseconds of features and inference."""
        tf, spec = self._tf, self._spec
        began = perf_counter()
        audio, _ = tf.audio.decode_wav(wav)
        audio = tf.cast(tf.squeeze(audio, -1), tf.float32)[: self._samples]
        audio = tf.concat([audio, tf.zeros(self._samples - tf.shape(audio)[0])], 0)
        spectrum = tf.abs(
            tf.signal.stft(audio, spec.frame_length, spec.frame_step, spec.frame_length)
        )
        log_mel = tf.math.log(tf.tensordot(spectrum, self._mel, 1) + spec.log_offset)
        mfccs = tf.signal.mfccs_from_log_mel_spectrograms(log_mel)[..., : spec.coefficients]
        features = mfccs if spec.kind == "mfcc" else log_mel
        features = ((features - self._mean) / self._std)[tf.newaxis, ..., tf.newaxis]
        computed = perf_counter()
        scale, zero = self._input["quantization"]
        if scale:
            limits = np.iinfo(self._input["dtype"])
            features = np.clip(np.rint(features / scale + zero), limits.min, limits.max)
        self._lite.set_tensor(self._input["index"], np.asarray(features, self._input["dtype"]))
        self._lite.invoke()
        scores = self._lite.get_tensor(self._output["index"])[0]
        scale, zero = self._output["quantization"]
        if scale:
            scores = (scores.astype(np.float32) - zero) * scale
        done = perf_counter()
        return scores, 1e3 * (computed - began), 1e3 * (done - computed)


def ours(predictor: AudioPredictor, wav: bytes) -> tuple[Scores, float]:
    """Scores, and milliseconds from the file's bytes on."""
    began = perf_counter()
    audio, rate = read_wav(wav)
    heard = predictor(audio, rate)
    return heard, 1e3 * (perf_counter() - began)


def compare(bundle: Bundle, wavs: list[bytes], runs: int) -> dict[str, np.ndarray]:
    """``[runs]`` milliseconds by what was timed; raises where the two ways disagree."""
    with native_silence():
        predictor, usual = AudioPredictor(bundle), Usual(bundle)
        usual(wavs[0])
    times: dict[str, list[float]] = {
        f"{who} {what}": []
        for who in ("usual", "ours")
        for what in ("features", "inference", "total")
    }
    for run in range(-WARM_UP, runs):
        wav = wavs[run % len(wavs)]
        scores, features, inference = usual(wav)
        heard, total = ours(predictor, wav)
        if np.abs(scores - heard.scores).max() > 0.05:
            raise EdgeError("the two ways disagree: one of them computes something else")
        if run < 0:
            continue
        times["usual features"].append(features)
        times["usual inference"].append(inference)
        times["usual total"].append(features + inference)
        times["ours features"].append(heard.latency.features)
        times["ours inference"].append(heard.latency.inference)
        times["ours total"].append(total)
    return {what: np.array(values) for what, values in times.items()}


def table(times: dict[str, np.ndarray], title: str) -> Table:
    """Median and 95th percentile of each, and how many times faster ours is."""
    made = Table(title=title, title_justify="left")
    for column in ("ms", "median", "p95"):
        made.add_column(column, justify="left" if column == "ms" else "right")
    show: Callable[[float], str] = "{:.3f}".format
    for what, values in times.items():
        made.add_row(what, show(np.median(values)), show(np.percentile(values, 95)))
    for what in ("features", "inference", "total"):
        ratio = np.median(times[f"usual {what}"]) / np.median(times[f"ours {what}"])
        made.add_row(f"{what}: ours is faster by", f"{ratio:.1f} x", "")
    return made


def main() -> int:
    """Prints the table; exit status 2 on bad input."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("wavs", type=Path, nargs="+", help="one-second clips, 16-bit mono")
    parser.add_argument("--runs", type=int, default=500, help="at least 300")
    chosen = parser.parse_args()
    if chosen.runs < 300:
        parser.error("--runs: at least 300")
    try:
        bundle = read_bundle(chosen.bundle)
        for path in chosen.wavs:
            read_wav(path)
        times = compare(bundle, [path.read_bytes() for path in chosen.wavs], chosen.runs)
    except EdgeError as error:
        print(f"device_vs_tf: {error}", file=sys.stderr)
        return 2
    manifest = bundle.manifest
    Console().print(table(times, f"{manifest.name} {manifest.version}, {chosen.runs} runs each"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
