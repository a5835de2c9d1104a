"""WindowTransform: a Beam pipeline over the splits.

An element is a whole split: windows need the order of its records, which Beam keeps nowhere else.
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
from components.moments import merge
from components.specification import RecordSpecification, write_specification
from components.window_transform.series import Series, Summary, transform_series
from edge_client.features.spec import RecordWindow, SpecError


class Executor(BaseBeamExecutor):
    """Cuts the windows of every split and measures the train split."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills ``transformed_examples`` and ``specification``; raises InputError."""
        window = parse_window(exec_properties["window"])
        source = artifact_utils.get_single_instance(input_dict["examples"])
        target = artifact_utils.get_single_instance(output_dict["transformed_examples"])
        folder = artifact_utils.get_single_uri(output_dict["specification"])
        target.split_names = source.split_names
        examples_utils.set_payload_format(target, example_gen_pb2.FORMAT_TF_EXAMPLE)
        with self._make_beam_pipeline() as pipeline:
            transform(pipeline, all_series(source, target), window, folder)


def transform(
    pipeline: beam.Pipeline, series: list[Series], window: RecordWindow, folder: str
) -> None:
    """Adds the whole transform to a pipeline; ``folder`` receives the specification."""
    summaries = (
        pipeline
        | "Splits" >> beam.Create(series)
        | "Spread" >> beam.Reshuffle()
        | "Windows" >> beam.ParDo(TransformSeries(window))
    )
    _ = (
        summaries
        | "OfTrain" >> beam.Filter(lambda summarised: summarised[0].split == "train")
        | "WithoutSplit" >> beam.Values()
        | "Gather" >> beam.combiners.ToList()
        | "Specification" >> beam.Map(_write, window, folder)
    )


class TransformSeries(beam.DoFn):
    """A :class:`Series` in, the same and its :class:`Summary` out."""

    def __init__(self, window: RecordWindow) -> None:
        self._window = window

    def process(self, series: Series) -> Iterator[tuple[Series, Summary]]:
        summary = transform_series(series, self._window)
        logging.info(
            "%s: %d windows of %d records", series.target, summary.windows, summary.records
        )
        if not summary.windows:
            raise InputError(
                f"the {series.split} split has {summary.records} records but no "
                f"{self._window.input_steps} + {self._window.output_steps} consecutive ones, "
                f"{self._window.interval_s:g} s apart; check window.interval_s against the data"
            )
        yield series, summary


def parse_window(text: str) -> RecordWindow:
    """The window a JSON text describes; raises InputError."""
    try:
        return RecordWindow.from_json(json.loads(text))
    except (ValueError, SpecError) as error:
        raise InputError(f"window: {error}") from None


def all_series(source: Artifact, target: Artifact) -> list[Series]:
    """The files of every split beside the file that is to be written."""
    series = []
    for split in artifact_utils.decode_split_names(source.split_names):
        folder = Path(artifact_utils.get_split_uri([target], split))
        folder.mkdir(parents=True, exist_ok=True)
        sources = tuple(split_files(source, split))
        series.append(Series(split, sources, str(folder / f"{split}-00000-of-00001")))
    return series


def _write(summaries: list[Summary], window: RecordWindow, folder: str) -> None:
    moments = [summary.moments for summary in summaries if summary.moments is not None]
    if not moments:
        raise InputError("no train split among the record Examples; ingest them again")
    write_specification(folder, RecordSpecification(window, merge(moments).standardisation()))
