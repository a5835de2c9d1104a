"""The device client beside the way keyword spotting is usually written for a Pi, in one run.

    python -m tests.benchmarks.device_vs_tf BUNDLE WAV...

Both start from the bytes of a WAV file and end with the scores, batch 1.  "Usual" is eager
TensorFlow as the published scripts time it: decode, cast, STFT, magnitude, linear-to-mel matrix and
product, logarithm, MFCC, then ``set_tensor``, ``invoke`` and ``get_tensor`` of
``tf.lite.Interpreter``.  Those scripts make the matrix anew for every clip; "matrix kept" is what
they would take without that.  The MFCCs are computed as there even where the bundle's model takes
the log-mel spectrogram.  The ways take turns in short blocks, so that all meet the same machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edge_client.audio import read_wav
from edge_client.bundle import AudioInput, Bundle, read_bundle
from edge_client.cli.messages import native_silence
from edge_client.errors import EdgeError
from edge_client.predictor import AudioPredictor

BLOCK = 20  # runs of one way before the next has its turn
USUAL, KEPT, OURS = "usual", "usual, matrix kept", "ours"
STEPS = ("features", "inference", "total")


class Usual:
    """Eager ``tf.signal`` and ``tf.lite``."""

    def __init__(self, bundle: Bundle, keep_matrix: bool) -> None:
        import tensorflow as tf

        taken = bundle.manifest.input
        if not isinstance(taken, AudioInput):
            raise EdgeError("this is about recordings; the bundle's model takes records")
        if taken.features.kind == "stft" or taken.features.resize is not None:
            raise EdgeError("the usual way is MFCC or log-mel; this bundle takes something else")
        self._tf, self._spec, self._samples = tf, taken.features, taken.samples
        self._kept = self._matrix() if keep_matrix else None
        self._mean = tf.constant(taken.standardisation.mean, tf.float32)
        self._std = tf.constant(taken.standardisation.std, tf.float32)
        self._lite = tf.lite.Interpreter(model_content=bundle.model)
        self._lite.allocate_tensors()
        self._input = self._lite.get_input_details()[0]
        self._output = self._lite.get_output_details()[0]

    def _matrix(self) -> Any:
        spec = self._spec
        return self._tf.signal.linear_to_mel_weight_matrix(
            spec.mel_bins, spec.frame_length // 2 + 1, spec.sample_rate, spec.low_hz, spec.high_hz
        )

    def __call__(self, wav: bytes) -> tuple[np.ndarray, tuple[float, float, float]]:
        """Scores, and milliseconds of features, inference and both."""
        tf, spec = self._tf, self._spec
        began = perf_counter()
        audio, _ = tf.audio.decode_wav(wav)
        audio = tf.cast(tf.squeeze(audio, -1), tf.float32)[: self._samples]
        audio = tf.concat([audio, tf.zeros(self._samples - tf.shape(audio)[0])], 0)
        spectrum = tf.abs(
            tf.signal.stft(audio, spec.frame_length, spec.frame_step, spec.frame_length)
        )
        matrix = self._matrix() if self._kept is None else self._kept
        log_mel = tf.math.log(tf.tensordot(spectrum, matrix, 1) + spec.log_offset)
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
        return scores, (1e3 * (computed - began), 1e3 * (done - computed), 1e3 * (done - began))


class Ours:
    """The device client."""

    def __init__(self, bundle: Bundle) -> None:
        self._predict = AudioPredictor(bundle)

    def __call__(self, wav: bytes) -> tuple[np.ndarray, tuple[float, float, float]]:
        """Scores, and milliseconds of features, inference and all, reading the WAV included."""
        began = perf_counter()
        audio, rate = read_wav(wav)
        heard = self._predict(audio, rate)
        total = 1e3 * (perf_counter() - began)
        return heard.scores, (heard.latency.features, heard.latency.inference, total)


def compare(bundle: Bundle, wavs: list[bytes], runs: int) -> dict[str, np.ndarray]:
    """Milliseconds by way, each ``[runs, 3]`` for :data:`STEPS`; raises where two ways disagree."""
    with native_silence():
        ways = {USUAL: Usual(bundle, False), KEPT: Usual(bundle, True), OURS: Ours(bundle)}
        answers = {way: np.stack([run(wav)[0] for wav in wavs]) for way, run in ways.items()}
    if np.abs(answers[USUAL] - answers[OURS]).max() > 0.05:
        raise EdgeError("the two ways disagree: one of them computes something else")
    times: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for start in progress.track(range(0, runs, BLOCK), description="taking turns"):
            for way, run in ways.items():
                # The first of a block finds the caches as the other way left them.
                for number in range(start - 3, min(start + BLOCK, runs)):
                    _, took = run(wavs[number % len(wavs)])
                    if number >= start:
                        times[way].append(took)
    return {way: np.array(values) for way, values in times.items()}


def table(times: dict[str, np.ndarray], title: str) -> Table:
    """Median and 95th percentile of each, and how many times faster ours is."""
    made = Table(title=title, title_justify="left")
    made.add_column("ms")
    for column in ("median", "p95", "ours is faster by"):
        made.add_column(column, justify="right")
    for way, values in times.items():
        for i, step in enumerate(STEPS):
            median, p95 = np.median(values[:, i]), np.percentile(values[:, i], 95)
            ratio = "" if way == OURS else f"{median / np.median(times[OURS][:, i]):.1f} x"
            made.add_row(f"{way}: {step}", f"{median:.3f}", f"{p95:.3f}", ratio)
        made.add_section()
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
