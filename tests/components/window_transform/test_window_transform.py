"""Record Examples in, windows and their specification out, through the component's executor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import channel_utils
from tfx.types.standard_artifacts import Examples

from components.artifacts import FeatureSpecification
from components.errors import InputError
from components.examples import SPLITS, example, read_split, split_writers
from components.specification import read_specification
from components.window_transform.component import WindowTransform
from components.window_transform.executor import Executor
from components.window_transform.series import cut_windows
from edge_client.features.spec import Quantity, RecordWindow
from edge_client.records import read_records

WINDOW = RecordWindow(
    (Quantity("T", "T (degC)", "Cel"), Quantity("RH", "rh (%)", "%RH")),
    input_steps=4,
    output_steps=2,
    interval_s=600.0,
)
START = 1_577_836_800


def write_splits(folder: Path, splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> Examples:
    """An Examples artifact of ``(time, values)`` a split; NaN is left out."""
    artifact = Examples()
    artifact.uri = str(folder)
    with split_writers(artifact, list(splits)) as writers:
        for split, (times, values) in splits.items():
            for time, row in zip(times, values, strict=True):
                present = {
                    quantity.name: float(value)
                    for quantity, value in zip(WINDOW.quantities, row, strict=True)
                    if np.isfinite(value)
                }
                writers[split].write(example({"time": int(time), **present}))
    return artifact


def some_records(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Records ten minutes apart with one gap and one missing value."""
    rng = np.random.default_rng(seed)
    time = START + 600 * np.arange(count)
    time[count // 2 :] += 3600
    values = rng.normal([10, 70], [8, 15], (count, 2)).astype(np.float32)
    values[count // 4, 1] = np.nan
    return time, values


def run(
    records: Examples, out: Path, window: RecordWindow = WINDOW
) -> tuple[Examples, FeatureSpecification]:
    examples, specification = Examples(), FeatureSpecification()
    examples.uri, specification.uri = str(out / "examples"), str(out / "specification")
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--direct_running_mode=in_memory"])
    Executor(context).Do(
        {"examples": [records]},
        {"transformed_examples": [examples], "specification": [specification]},
        {"window": json.dumps(window.to_json())},
    )
    return examples, specification


def read_windows(
    examples: Examples, split: str, window: RecordWindow = WINDOW
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``[n, input_steps, quantities]``, ``[n, output_steps, quantities]`` and times ``[n]``."""
    inputs, targets, times = [], [], []
    for each in read_split(examples, split):
        feature = each.features.feature
        inputs.append(np.frombuffer(feature["window"].bytes_list.value[0], "<f4"))
        targets.append(np.frombuffer(feature["target"].bytes_list.value[0], "<f4"))
        times.append(feature["time"].int64_list.value[0])
    n, quantities = len(times), len(window.quantities)
    return (
        np.reshape(inputs, (n, window.input_steps, quantities)),
        np.reshape(targets, (n, window.output_steps, quantities)),
        np.array(times),
    )


@pytest.mark.parametrize(("input_steps", "output_steps"), [(4, 2), (6, 6), (1, 1), (3, 9)])
def test_windows_of_every_split_are_written_in_order(input_steps, output_steps, tmp_path):
    window = RecordWindow(WINDOW.quantities, input_steps, output_steps, 600.0)
    splits = {split: some_records(60, seed) for seed, split in enumerate(SPLITS)}
    examples, artifact = run(write_splits(tmp_path / "in", splits), tmp_path, window)
    for split, (time, values) in splits.items():
        expected = cut_windows(time, values, window)
        inputs, targets, last = read_windows(examples, split, window)
        assert len(last) > 0
        np.testing.assert_array_equal(inputs, expected.inputs)
        np.testing.assert_array_equal(targets, expected.targets)
        np.testing.assert_array_equal(last, expected.time)

    specification = read_specification(artifact.uri)
    train = splits["train"][1].astype(np.float64)
    complete = train[np.isfinite(train).all(axis=1)]
    assert specification.window == window
    np.testing.assert_allclose(specification.standardisation.mean, complete.mean(0), rtol=1e-9)
    np.testing.assert_allclose(specification.standardisation.std, complete.std(0), rtol=1e-9)


def test_the_real_station_loses_only_windows_over_its_gap(data_folder, tmp_path):
    path = data_folder / "jena_climate_2020.csv.zip"
    if not path.exists():
        pytest.skip(f"no {path.name} in the folder of real data")
    records = read_records(path, WINDOW.quantities)
    gaps = np.flatnonzero(np.diff(records.time) > 900)
    assert len(gaps) == 1
    around = slice(gaps[0] - 99, gaps[0] + 101)
    time, values = records.time[around], records.values[around]
    examples, _ = run(write_splits(tmp_path / "in", {"train": (time, values)}), tmp_path)
    _, _, last = read_windows(examples, "train")
    steps = WINDOW.input_steps + WINDOW.output_steps
    assert len(last) == 2 * (100 - steps + 1)


def test_records_that_are_too_few_or_far_apart_are_refused(tmp_path):
    time, values = some_records(60, 0)
    records = write_splits(tmp_path / "in", {"train": (time * 6 - 5 * START, values)})
    with pytest.raises(InputError, match=r"train split has 60 records but no 4 \+ 2 consecutive"):
        run(records, tmp_path)


def test_records_out_of_order_are_refused(tmp_path):
    time, values = some_records(60, 0)
    records = write_splits(tmp_path / "in", {"train": (time[::-1], values)})
    with pytest.raises(InputError, match="record 1 is not later than the one before"):
        run(records, tmp_path)


def test_a_quantity_that_was_not_ingested_is_named(tmp_path):
    time, values = some_records(60, 0)
    values[:, 1] = np.nan
    records = write_splits(tmp_path / "in", {"train": (time, values)})
    with pytest.raises(InputError, match="no record has the quantity 'RH'"):
        run(records, tmp_path)


def test_a_window_that_makes_no_sense_is_refused_when_the_pipeline_is_written(tmp_path):
    artifact = Examples()
    artifact.uri = str(tmp_path)
    channel = channel_utils.as_channel([artifact])
    with pytest.raises(InputError, match=r"window.input_steps is 0"):
        WindowTransform(channel, json.dumps({**WINDOW.to_json(), "input_steps": 0}))
    component = WindowTransform(channel, json.dumps(WINDOW.to_json()))
    assert component.outputs["transformed_examples"].type is Examples
    assert component.outputs["specification"].type is FeatureSpecification
