"""Each anomaly, put into small Examples, stops the run and is named; TFDV does the finding."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tfx.components.distribution_validator.executor import Executor as DistributionValidator
from tfx.components.example_validator.executor import Executor as ExampleValidator
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.artifacts import DataApproval
from components.data_gate.dag import drift_config, read_schema, stats_options
from components.data_gate.executor import Executor as DataGate
from components.errors import InputError
from components.examples import SPLITS, example, split_writers

Rows = dict[str, list[dict[str, Any]]]
COUNTS = {"train": 400, "validation": 200, "test": 200}


def clips() -> Rows:
    """Four words, evenly; levels as of one distribution."""
    random = np.random.default_rng(0)
    return {
        split: [
            {
                "audio": b"\0\0",
                "label": ("go", "no", "up", "yes")[index % 4],
                "speaker": f"{split}{index % 10}",
                "path": f"{split}/{index}.wav",
                "rms": float(random.uniform(0.01, 0.2)),
                "peak": 0.5,
                "clipped": 0.0,
                "seconds": 1.0,
            }
            for index in range(count)
        ]
        for split, count in COUNTS.items()
    }


def records() -> Rows:
    """A warm day after the other, drier and wetter."""
    random = np.random.default_rng(0)
    start = {"train": 0, "validation": 400, "test": 600}
    return {
        split: [
            {
                "time": 1577836800 + 600 * (start[split] + index),
                "T": float(random.uniform(5, 25)),
                "RH": float(random.uniform(40, 100)),
            }
            for index in range(count)
        ]
        for split, count in COUNTS.items()
    }


def statistics_of(rows: list[dict[str, Any]], options: tfdv.StatsOptions) -> Any:
    """What StatisticsGen would compute, without its fifteen seconds of Beam."""
    seen = [
        {name: row[name] for name in row if name in (options.feature_allowlist or row)}
        for row in rows
    ]
    batch = ExamplesToRecordBatchDecoder().DecodeBatch([example(row) for row in seen])
    return generate_statistics_in_memory(batch, options)


@pytest.fixture
def gate(tmp_path: Path, repository: Path) -> Callable[[Rows, str], dict]:
    """Runs TFDV's executors and the gate on rows; gives the report."""

    def artifact(kind: type, name: str) -> Any:
        made = kind()
        made.uri = str(tmp_path / name)
        return made

    def run(rows: Rows, kind: str) -> dict:
        examples = artifact(standard_artifacts.Examples, "examples")
        with split_writers(examples) as writers:
            for split in SPLITS:
                for row in rows[split]:
                    writers[split].write(example(row))
        schema = standard_artifacts.Schema()
        schema.uri = str(repository / "pipeline" / "schema" / kind)
        kept = read_schema(Path(schema.uri))
        statistics = artifact(standard_artifacts.ExampleStatistics, "statistics")
        statistics.split_names = examples.split_names
        for split in SPLITS:
            folder = Path(artifact_utils.get_split_uri([statistics], split))
            folder.mkdir(parents=True)
            measured = statistics_of(rows[split], stats_options(kept))
            (folder / "FeatureStats.pb").write_bytes(measured.SerializeToString())
        anomalies = artifact(standard_artifacts.ExampleAnomalies, "anomalies")
        ExampleValidator().Do(
            {"statistics": [statistics], "schema": [schema]},
            {"anomalies": [anomalies]},
            {"exclude_splits": "[]"},
        )
        drift = artifact(standard_artifacts.ExampleAnomalies, "drift")
        DistributionValidator().Do(
            {"statistics": [statistics], "baseline_statistics": [statistics]},
            {"anomalies": [drift]},
            {
                "distribution_validator_config": drift_config(kept),
                "include_split_pairs": json_utils.dumps(
                    [("validation", "train"), ("test", "train")]
                ),
            },
        )
        approval = artifact(DataApproval, "approval")
        DataGate().Do(
            {
                "examples": [examples],
                "statistics": [statistics],
                "schema": [schema],
                "anomalies": [anomalies],
                "drift": [drift],
            },
            {"approval": [approval]},
            {},
        )
        return json.loads((tmp_path / "approval" / "report.json").read_text())

    return run


@pytest.fixture
def stopped(gate, tmp_path: Path) -> Callable[[Rows, str], list[str]]:
    """The lines behind the first of the message that stops the run."""

    def run(rows: Rows, kind: str) -> list[str]:
        with pytest.raises(InputError) as caught:
            gate(rows, kind)
        assert not (tmp_path / "approval").exists()
        first, *lines = str(caught.value).split("\n")
        assert first.startswith(f"the data has {len(lines)} anomal")
        return lines

    return run


def test_good_clips_pass(gate) -> None:
    report = gate(clips(), "audio")
    assert report["examples"] == COUNTS
    assert report["labels"]["test"] == {"go": 50, "no": 50, "up": 50, "yes": 50}
    assert set(report["drift"]["test_train"]) == {"label", "rms"}


def test_good_records_pass(gate) -> None:
    assert gate(records(), "records")["examples"] == COUNTS


def test_a_class_missing_from_a_split(stopped) -> None:
    rows = clips()
    rows["validation"] = [row for row in rows["validation"] if row["label"] != "up"]
    missing, drift = stopped(rows, "audio")
    assert missing == "validation: label: no clip of the class 'up'"
    assert drift.startswith("validation: label: drift against train: ")


def test_one_silent_clip(stopped) -> None:
    rows = clips()
    rows["train"][17]["rms"] = 0.0
    (line,) = stopped(rows, "audio")
    assert line.startswith("train: rms: silent throughout: ")
    assert line.endswith("(train/17.wav)")


def test_clips_clipped_throughout(stopped) -> None:
    rows = clips()
    for index in range(7):
        rows["test"][index]["clipped"] = 0.6
    (line,) = stopped(rows, "audio")
    assert line.startswith("test: clipped: clipped throughout: ")
    assert line.endswith("(test/0.wav, test/1.wav, test/2.wav, test/3.wav, test/4.wav, 2 more)")


def test_a_measurement_that_is_no_number(stopped) -> None:
    rows = clips()
    rows["test"][3]["peak"] = math.nan
    (line,) = stopped(rows, "audio")
    assert line.startswith("test: peak: ")
    assert "NaN" in line
    assert line.endswith("(test/3.wav)")


def test_words_drift(stopped) -> None:
    rows = clips()
    for row in rows["test"][:100]:
        row["label"] = "go"
    (line,) = stopped(rows, "audio")
    assert line.startswith("test: label: drift against train: ")


def test_levels_drift(stopped) -> None:
    rows = clips()
    for row in rows["validation"]:
        row["rms"] /= 20
    (line,) = stopped(rows, "audio")
    assert line.startswith("validation: rms: drift against train: ")


@pytest.mark.parametrize(("name", "wrong"), [("T", 81.5), ("T", -273.0), ("RH", -3.0)])
def test_a_value_outside_the_physical_range(name: str, wrong: float, stopped) -> None:
    rows = records()
    rows["validation"][5][name] = wrong
    (line,) = stopped(rows, "records")
    assert line.startswith(f"validation: {name}: outside the physical range: ")
    assert line.endswith("(2020-01-03 19:30:00+00:00)")


def test_a_record_that_is_no_number(stopped) -> None:
    rows = records()
    rows["train"][0]["T"] = math.nan
    (line,) = stopped(rows, "records")
    assert "NaN" in line
    assert line.endswith("(2020-01-01 00:00:00+00:00)")


def test_a_quantity_that_is_mostly_missing(stopped) -> None:
    rows = records()
    for row in rows["test"][:100]:
        del row["RH"]
    (line,) = stopped(rows, "records")
    assert line.startswith("test: RH: ")
    assert "fraction" in line


def test_a_change_of_unit_is_drift(stopped) -> None:
    rows = records()
    for row in rows["test"]:
        row["T"] = row["T"] * 0.2 + 50  # of a range no other split has
    (line,) = stopped(rows, "records")
    assert line.startswith("test: T: drift against train: ")


def test_a_quantity_the_schema_does_not_know(stopped) -> None:
    rows = records()
    for split in SPLITS:
        for row in rows[split]:
            row["p"] = 990.0
    lines = stopped(rows, "records")
    assert [line.split(":")[:2] for line in lines] == [[split, " p"] for split in SPLITS]


def test_all_anomalies_are_named_at_once(stopped) -> None:
    rows = clips()
    rows["train"][17]["rms"] = 0.0
    rows["test"][3]["clipped"] = 1.0
    rows["validation"][5]["seconds"] = 0.001
    assert [line.split(":")[:2] for line in stopped(rows, "audio")] == [
        ["train", " rms"],
        ["validation", " seconds"],
        ["test", " clipped"],
    ]
