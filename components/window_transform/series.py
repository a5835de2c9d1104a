"""The records of one split to its windows: the work of a single Beam element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import InputError
from components.moments import Moments
from components.tfrecords import read_tfrecords, tfrecord_writer
from edge_client.features.spec import RecordWindow
from edge_client.records import window_starts

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """The files of one split in order of time, and the file its windows go to."""

    split: str
    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Windows:
    """``[n, input_steps, quantities]`` in, ``[n, output_steps, quantities]`` to be forecast.

    Both in physical units; ``time`` ``[n]`` is that of each window's last input record.
    """

    inputs: Float32
    targets: Float32
    time: Int64


@dataclass(frozen=True)
class Summary:
    """What the specification needs to know of a split; ``moments`` of its complete records."""

    records: int
    windows: int
    moments: Moments | None


def transform_series(series: Series, window: RecordWindow) -> Summary:
    """Writes the windows of a split in order of time.

    Raises:
        InputError: a file is damaged, or its records are not in order of time.
    """
    time, values = read_series(series.sources, [q.name for q in window.quantities])
    windows = cut_windows(time, values, window)
    with tfrecord_writer(series.target) as writer:
        example = tf.train.Example()
        feature = example.features.feature
        for inputs, target, last in zip(windows.inputs, windows.targets, windows.time, strict=True):
            feature["window"].bytes_list.value[:] = [inputs.tobytes()]
            feature["target"].bytes_list.value[:] = [target.tobytes()]
            feature["time"].int64_list.value[:] = [int(last)]
            writer.write(example.SerializeToString())
    complete = values[np.isfinite(values).all(axis=1)]
    moments = Moments.of(complete) if len(complete) else None
    return Summary(len(time), len(windows.time), moments)


def cut_windows(time: Int64, values: Float32, window: RecordWindow) -> Windows:
    """All windows of consecutive complete records, each record starting at most one.

    Args:
        time: ``[n]`` unix seconds, ascending.
        values: ``[n, quantities]`` in physical units, NaN where missing.
        window: how many steps go in and out, and how far apart records are.
    """
    starts = window_starts(time, values, window)[:, np.newaxis]
    steps = starts + np.arange(window.input_steps + window.output_steps)
    cut = values[steps].astype("<f4", copy=False)
    return Windows(
        np.ascontiguousarray(cut[:, : window.input_steps]),
        np.ascontiguousarray(cut[:, window.input_steps :]),
        time[steps[:, window.input_steps - 1]],
    )


def read_series(sources: tuple[str, ...], names: list[str]) -> tuple[Int64, Float32]:
    """``[n]`` unix seconds and ``[n, quantities]`` of record Examples, NaN where one lacks them.

    Raises:
        InputError: a file is damaged, a record has no time or none after the one before it, or
            no record has one of the quantities.
    """
    times: list[int] = []
    rows: list[list[float]] = []
    for source in sources:
        for record in read_tfrecords(source):
            feature = tf.train.Example.FromString(record).features.feature
            time = feature["time"].int64_list.value
            if not time or (times and time[0] <= times[-1]):
                what = "is not later than the one before" if time else "has no time"
                raise InputError(f"{source}: record {len(times)} {what}; ingest it again")
            times.append(time[0])
            rows.append([_value(feature, name) for name in names])
    values = np.array(rows, np.float32).reshape(len(rows), len(names))
    lacking = [n for n, column in zip(names, values.T, strict=True) if np.isnan(column).all()]
    if rows and lacking:
        raise InputError(
            f"{sources[0]}: no record has the quantity {lacking[0]!r}; ingest it, or take it "
            "out of the window"
        )
    return np.array(times, np.int64), values


def _value(feature: tf.train.Features.FeatureEntry, name: str) -> float:
    value = feature[name].float_list.value
    return value[0] if value else float("nan")
