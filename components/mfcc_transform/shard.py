"""One file of clips to one file of features: the work of a single Beam element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import InputError
from components.examples import SAMPLE_RATE
from components.moments import Moments, merge
from components.tfrecords import read_tfrecords, tfrecord_writer
from edge_client.audio import to_float
from edge_client.features.frontend import FrontEnd

_BATCH = 8  # clips; the front end is fastest when a batch of frames fits the cache
_COPIED = ("label", "path", "speaker")


@dataclass(frozen=True)
class Shard:
    """A file of audio Examples and the file their features go to."""

    split: str
    source: str
    target: str


@dataclass(frozen=True)
class Summary:
    """What the specification needs to know of some clips; ``moments`` are per bin, of frames."""

    clips: int
    moments: Moments | None
    labels: frozenset[str]


def transform_shard(shard: Shard, front_end: FrontEnd) -> Summary:
    """Writes the features of every clip of the shard, in the same order.

    Raises:
        InputError: the file is damaged, or a clip is not what the features take.
    """
    clips = 0
    moments: list[Moments] = []
    labels: set[bytes] = set()
    # One message filled anew for every clip: building it costs more than serialising it.
    example = tf.train.Example()
    values = {
        name: example.features.feature[name].bytes_list.value for name in ("features", *_COPIED)
    }
    with tfrecord_writer(shard.target) as writer:
        for batch in _batches(Path(shard.source)):
            features = _features([clip["audio"] for clip in batch], front_end, shard.source)
            moments.append(Moments.of(features.reshape(-1, features.shape[-1])))
            for clip, feature in zip(batch, features, strict=True):
                values["features"][:] = [feature.tobytes()]
                for name in _COPIED:
                    values[name][:] = [clip[name]]
                writer.write(example.SerializeToString())
                labels.add(clip["label"])
            clips += len(batch)
    return Summary(
        clips,
        merge(moments) if moments else None,
        frozenset(label.decode() for label in labels),
    )


def _batches(path: Path) -> Iterator[list[dict[str, bytes]]]:
    records = read_tfrecords(path)
    while batch := list(islice(records, _BATCH)):
        yield [_clip(record, path) for record in batch]


def _clip(record: bytes, path: Path) -> dict[str, bytes]:
    feature = tf.train.Example.FromString(record).features.feature
    try:
        return {name: feature[name].bytes_list.value[0] for name in ("audio", *_COPIED)}
    except IndexError:
        raise InputError(
            f"{path}: an Example lacks one of audio, {', '.join(_COPIED)}; it holds "
            f"{', '.join(sorted(n for n in feature if feature[n].WhichOneof('kind')))}"
        ) from None


def _features(audio: list[bytes], front_end: FrontEnd, path: str) -> npt.NDArray[np.float32]:
    """``[clips, frames, bins]`` of PCM clips of one length."""
    try:
        pcm = np.stack([np.frombuffer(clip, "<i2") for clip in audio]).astype(np.int16, copy=False)
        return front_end(to_float(pcm), SAMPLE_RATE).astype("<f4", copy=False)
    except ValueError as error:
        raise InputError(f"{path}: features cannot be computed: {error}") from None
