"""MfccTransform: a Beam pipeline over the files of the splits.

An element is a whole file, so Beam spreads files over its workers and costs nothing per clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from absl import logging
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.errors import InputError
from components.examples import split_files
from components.mfcc_transform.shard import Shard, Summary, transform_shard
from components.moments import merge
from components.specification import AudioSpecification, write_specification
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures, SpecError


class Executor(BaseBeamExecutor):
    """Computes the features of every split and what the train split says of them."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills ``transformed_examples`` and ``specification``; raises InputError."""
        features = parse_features(exec_properties["features"])
        source = artifact_utils.get_single_instance(input_dict["examples"])
        target = artifact_utils.get_single_instance(output_dict["transformed_examples"])
        folder = artifact_utils.get_single_uri(output_dict["specification"])
        target.split_names = source.split_names
        examples_utils.set_payload_format(target, example_gen_pb2.FORMAT_TF_EXAMPLE)
        with self._make_beam_pipeline() as pipeline:
            transform(pipeline, shards(source, target), features, folder)


def transform(
    pipeline: beam.Pipeline, files: list[Shard], features: AudioFeatures, folder: str
) -> None:
    """Adds the whole transform to a pipeline; ``folder`` receives the specification."""
    summaries = (
        pipeline
        | "Files" >> beam.Create(files)
        | "Spread" >> beam.Reshuffle()
        | "Features" >> beam.ParDo(TransformShard(features))
    )
    _ = (
        summaries
        | "OfTrain" >> beam.Filter(lambda summarised: summarised[0].split == "train")
        | "Gather" >> beam.combiners.ToList()
        | "Specification" >> beam.Map(_write, features, folder)
    )


class TransformShard(beam.DoFn):
    """A :class:`Shard` in, the same and its :class:`Summary` out."""

    def __init__(self, features: AudioFeatures) -> None:
        self._features = features

    def setup(self) -> None:
        """Works out the constants of the front end once a worker."""
        self._front_end = FrontEnd(self._features)

    def process(self, shard: Shard) -> Iterator[tuple[Shard, Summary]]:
        summary = transform_shard(shard, self._front_end)
        logging.info("%s: features of %d clips", shard.target, summary.clips)
        yield shard, summary


def parse_features(text: str) -> AudioFeatures:
    """The recipe a JSON text describes; raises InputError."""
    try:
        return AudioFeatures.from_json(json.loads(text))
    except (ValueError, SpecError) as error:
        raise InputError(f"features: {error}") from None


def shards(source: Artifact, target: Artifact) -> list[Shard]:
    """The files of every split beside the files of the same names that are to be written."""
    files = []
    for split in artifact_utils.decode_split_names(source.split_names):
        folder = Path(artifact_utils.get_split_uri([target], split))
        folder.mkdir(parents=True, exist_ok=True)
        files += [Shard(split, p, str(folder / Path(p).name)) for p in split_files(source, split)]
    return files


def _write(summarised: list[tuple[Shard, Summary]], features: AudioFeatures, folder: str) -> None:
    # In the order of the files, so that the same clips give the same numbers to the last bit.
    summarised = sorted(summarised, key=lambda pair: pair[0].source)
    moments = [summary.moments for _, summary in summarised if summary.moments is not None]
    if not moments:
        raise InputError("the train split is empty; give it more recordings or a larger share")
    labels = sorted(set().union(*(summary.labels for _, summary in summarised)))
    write_specification(
        folder, AudioSpecification(features, merge(moments).standardisation(), tuple(labels))
    )
