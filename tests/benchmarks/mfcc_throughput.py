"""Clips a second per core: MfccTransform beside plain ``tf.data`` and ``tf.signal``.

Both read the same audio Examples from disk and write the same feature Examples to disk, in turn,
each round in a fresh process held to one core.  Neither start nor imports count; a first pass over
one file warms each up.  Processor time is shown beside elapsed time, since it tells the two apart
even where other work shares the core.  Usage:
``python -m tests.benchmarks.mfcc_throughput [--data ZIP]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

SIDES = {"transform": "MfccTransform", "plain": "tf.data + tf.signal"}
_SHARDS = 4
_RECIPES = {
    "mfcc": {"kind": "mfcc"},
    "log_mel": {"kind": "log_mel", "high_hz": 7600.0},
}


@dataclass(frozen=True)
class Round:
    """Clips a second of one side in one round, by the clock and by the processor's time."""

    elapsed: float
    processor: float


def main() -> int:
    """Writes the Examples, lets the sides run in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="zip of <word>/*.wav; noise when left out")
    parser.add_argument("--clips", type=int, default=4000, help="clips of a round (default 4000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default 5)")
    parser.add_argument("--recipe", choices=list(_RECIPES), default="mfcc")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # of TFX's imports
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.side:
        print(*_seconds(arguments.side, arguments.folder, arguments.recipe))
        return 0
    if arguments.data and not arguments.data.is_file():
        parser.error(f"--data {arguments.data}: no such file")
    with tempfile.TemporaryDirectory() as folder:
        clips = write_examples(Path(folder), arguments.data, arguments.clips)
        rounds: dict[str, list[Round]] = {side: [] for side in SIDES}
        for _ in track(range(arguments.rounds), "rounds", console=Console(stderr=True)):
            for side in SIDES:
                elapsed, processor = _run(side, Path(folder), arguments.recipe)
                rounds[side].append(Round(clips / elapsed, clips / processor))
    what = f"{clips} clips of {arguments.data.name if arguments.data else 'noise'}"
    _report(rounds, f"{json.dumps(_RECIPES[arguments.recipe])}, {what}, one core")
    return 0


def write_examples(folder: Path, data: Path | None, count: int) -> int:
    """Audio Examples as AudioExampleGen writes them, in a few files; returns how many."""
    from components.audio_example_gen.executor import to_example
    from components.audio_example_gen.recordings import open_source
    from components.tfrecords import tfrecord_writer

    if data is None:
        examples = _noise_examples(count)
    else:
        with open_source(data) as source:
            step = max(1, len(source.recordings) // count)
            chosen = source.recordings[::step][:count]
            examples = [to_example(recording, source.read(recording)) for recording in chosen]
    for shard in range(_SHARDS):
        with tfrecord_writer(folder / f"train-{shard:05d}-of-{_SHARDS:05d}") as writer:
            for example in examples[shard::_SHARDS]:
                writer.write(example)
    return len(examples)


def _noise_examples(count: int) -> list[bytes]:
    from components.examples import example

    rng = np.random.default_rng(0)
    return [
        example(
            {
                "audio": (rng.standard_normal(16000) * 3000).astype("<i2").tobytes(),
                "label": f"word{i % 8}",
                "speaker": f"speaker{i % 80}",
                "path": f"word{i % 8}/{i}.wav",
                "rms": 0.1,
                "peak": 0.4,
                "clipped": 0.0,
                "seconds": 1.0,
            }
        )
        for i in range(count)
    ]


def _run(side: str, folder: Path, recipe: str) -> list[float]:
    """Elapsed and processor seconds of one side in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.mfcc_throughput", "--side", side]
    done = subprocess.run(
        [*command, "--folder", str(folder), "--recipe", recipe],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if done.returncode:
        raise SystemExit(f"{SIDES[side]} failed:\n{done.stderr[-2000:]}")
    return [float(seconds) for seconds in done.stdout.split()[-2:]]


def _seconds(side: str, folder: Path, recipe: str) -> tuple[float, float]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before TensorFlow counts cores
    work = _transform if side == "transform" else _plain
    files = sorted(folder.glob("train-*-of-*"))
    with tempfile.TemporaryDirectory() as out:
        work(files[:1], Path(out) / "warm", recipe)
        start, used = time.perf_counter(), time.process_time()
        work(files, Path(out) / "timed", recipe)
        return time.perf_counter() - start, time.process_time() - used


def _transform(files: list[Path], out: Path, recipe: str) -> None:
    import apache_beam as beam

    from components.mfcc_transform.executor import transform
    from components.mfcc_transform.shard import Shard
    from edge_client.features.spec import AudioFeatures

    out.mkdir()
    shards = [Shard("train", str(file), str(out / file.name)) for file in files]
    options = ["--runner=DirectRunner", "--direct_running_mode=in_memory"]
    with beam.Pipeline(argv=options) as pipeline:
        transform(pipeline, shards, AudioFeatures.from_json(_RECIPES[recipe]), str(out))


def _plain(files: list[Path], out: Path, recipe: str) -> None:
    """What one writes without a framework: read, parse, compute in batches, write bytes."""
    import tensorflow as tf

    out.mkdir()
    for file in files:
        dataset = tf.data.TFRecordDataset(str(file)).batch(32)
        dataset = dataset.map(_plain_features(recipe), num_parallel_calls=tf.data.AUTOTUNE)
        with tf.io.TFRecordWriter(str(out / file.name)) as writer:
            for batch in dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
                features = batch.pop("features")
                for index, values in enumerate(features):
                    row = {name: column[index] for name, column in batch.items()}
                    row["features"] = values.tobytes()
                    writer.write(_serialised(row))


@cache
def _plain_features(recipe: str) -> Any:
    """A batch of serialised Examples to its features and strings; traced once for all files."""
    import tensorflow as tf

    from edge_client.features.spec import AudioFeatures

    spec = AudioFeatures.from_json(_RECIPES[recipe])
    strings = {
        name: tf.io.FixedLenFeature([], tf.string) for name in ("audio", "label", "path", "speaker")
    }
    mel = tf.signal.linear_to_mel_weight_matrix(
        spec.mel_bins, spec.frame_length // 2 + 1, spec.sample_rate, spec.low_hz, spec.high_hz
    )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def compute(serialised: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_example(serialised, strings)
        pcm = tf.io.decode_raw(example.pop("audio"), tf.int16, fixed_length=2 * spec.samples)
        audio = tf.cast(pcm, tf.float32) / 32768
        spectrum = tf.abs(
            tf.signal.stft(audio, spec.frame_length, spec.frame_step, spec.frame_length)
        )
        features = tf.math.log(tf.tensordot(spectrum, mel, 1) + spec.log_offset)
        if spec.kind == "mfcc":
            features = tf.signal.mfccs_from_log_mel_spectrograms(features)
            features = features[..., : spec.coefficients]
        return {**example, "features": features}

    return compute


def _serialised(row: dict[str, bytes]) -> bytes:
    import tensorflow as tf

    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in row.items()
            }
        )
    ).SerializeToString()


def _report(rounds: dict[str, list[Round]], title: str) -> None:
    # Of neighbours in time, so that what else the machine does weighs on both alike.
    pairs = list(zip(rounds["transform"], rounds["plain"], strict=True))
    elapsed = statistics.median(ours.elapsed / theirs.elapsed for ours, theirs in pairs)
    processor = statistics.median(ours.processor / theirs.processor for ours, theirs in pairs)
    table = Table(title=title)
    table.add_column("program")
    for heading in ("clips/s", "lowest", "highest", "per CPU second"):
        table.add_column(heading, justify="right")
    for side, name in SIDES.items():
        rates = [each.elapsed for each in rounds[side]]
        used = statistics.median(each.processor for each in rounds[side])
        values = (statistics.median(rates), min(rates), max(rates), used)
        table.add_row(name, *(f"{value:,.0f}" for value in values))
    table.add_section()
    table.add_row("ratio (0.9 wanted)", f"{elapsed:.2f}", "", "", f"{processor:.2f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
