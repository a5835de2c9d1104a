"""tf.Examples in the splits of a TFX artifact: one folder a split, uncompressed TFRecords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.tfrecords import read_tfrecords

SPLITS = ("train", "validation", "test")
SAMPLE_RATE = 16000  # Hz, of the clips in audio Examples
SAMPLES = 16000  # of one such clip


def example(values: Mapping[str, bytes | str | int | float]) -> bytes:
    """A serialised tf.Example with one value a feature, typed as the value is."""
    features = {}
    for name, value in values.items():
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        elif isinstance(value, int):
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        else:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        features[name] = feature
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


class SplitWriter:
    """Writes the Examples of one split, dealt out to its files in turn."""

    def __init__(self, writers: Sequence[tf.io.TFRecordWriter]) -> None:
        self._writers = writers
        self.count = 0

    def write(self, serialised: bytes) -> None:
        """Appends one serialised tf.Example."""
        self._writers[self.count % len(self._writers)].write(serialised)
        self.count += 1


@contextmanager
def split_writers(
    artifact: Artifact, splits: Sequence[str] = SPLITS, files: int = 1
) -> Iterator[dict[str, SplitWriter]]:
    """A writer for each split of an Examples artifact, which is marked as holding them.

    Args:
        artifact: the Examples artifact to fill.
        splits: names of its splits.
        files: into how many files each split goes; one keeps the order of what is written.
    """
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    with ExitStack() as stack:
        writers = {}
        for split in splits:
            folder = Path(artifact_utils.get_split_uri([artifact], split))
            folder.mkdir(parents=True, exist_ok=True)
            paths = [folder / f"{split}-{i:05d}-of-{files:05d}" for i in range(files)]
            writers[split] = SplitWriter(
                [stack.enter_context(tf.io.TFRecordWriter(str(path))) for path in paths]
            )
        yield writers


def split_files(artifact: Artifact, split: str) -> list[str]:
    """Paths of the TFRecord files of one split, in order."""
    folder = Path(artifact_utils.get_split_uri([artifact], split))
    return [str(path) for path in sorted(folder.glob(f"{split}-*-of-*"))]


def read_split(artifact: Artifact, split: str) -> Iterator[tf.train.Example]:
    """The Examples of one split, file after file; ``InputError`` for a damaged one."""
    for path in split_files(artifact, split):
        for serialised in read_tfrecords(path):
            yield tf.train.Example.FromString(serialised)
