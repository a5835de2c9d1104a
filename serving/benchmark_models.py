"""``python -m serving.benchmark_models FOLDER``: writes the two models of the benchmark.

One does next to nothing, the other takes audio and does next to nothing with it. They are written
by a process of their own so that TensorFlow takes no memory and no threads from the load client.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

SAMPLES = 16_000


def write_models(folder: Path) -> None:
    """Writes ``trivial/1`` and ``audio/1`` into `folder`."""
    trivial, audio = tf.Module(), tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half_plus_two(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 0.5 * x + 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="audio")])
    def loudness(audio: tf.Tensor) -> dict[str, tf.Tensor]:
        pcm = tf.io.decode_raw(audio, tf.int16, fixed_length=2 * SAMPLES)
        waveform = tf.cast(pcm, tf.float32) / 32768.0
        return {"rms": tf.sqrt(tf.reduce_mean(waveform**2, axis=1))}

    tf.saved_model.save(trivial, str(folder / "trivial" / "1"), half_plus_two)
    tf.saved_model.save(audio, str(folder / "audio" / "1"), loudness)


if __name__ == "__main__":
    write_models(Path(sys.argv[1]))
