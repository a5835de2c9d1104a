"""DataGate: gathers the anomalies of all splits and stops the run with one line for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, AnomalyInfo
from tensorflow_metadata.proto.v0.schema_pb2 import Feature
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics
from tfx.components.statistics_gen.stats_artifact_utils import load_statistics
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils

from components.data_gate.offenders import Offenders
from components.errors import InputError
from components.examples import SPLITS
from components.json_file import write_json

_ANOMALIES_FILE = "SchemaDiff.pb"
_MOST_LINES = 20
_LABEL = "label"
_DIGITS = re.compile(r" ?\(up ?to six significant digits\)")  # TFDV says so behind every number


class Executor(BaseExecutor):
    """Reads what TFDV's validators wrote; writes a report only when they found nothing."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills ``approval``; raises InputError with a line for each anomaly."""
        inputs = {
            name: artifact_utils.get_single_instance(artifacts)
            for name, artifacts in input_dict.items()
        }
        schema_path = io_utils.get_only_uri_in_dir(inputs["schema"].uri)
        schema = io_utils.SchemaReader().read(schema_path)
        features = {feature.name: feature for feature in schema.feature}
        statistics = {
            split: load_statistics(inputs["statistics"], split).proto().datasets[0]
            for split in SPLITS
        }
        drift = {
            pair: _read(Path(inputs["drift"].uri) / f"SplitPair-{pair}")
            for pair in artifact_utils.decode_split_names(inputs["drift"].split_names)
        }
        found = [
            *_empty_splits(statistics),
            *_missing_labels(statistics),
            *_anomalies(inputs["anomalies"], features, Offenders(inputs["examples"])),
            *_drift(drift),
        ]
        if found:
            raise InputError(_message(found, schema_path))
        report = {
            "examples": {split: int(s.num_examples) for split, s in statistics.items()},
            "labels": {split: _labels(s) for split, s in statistics.items()},
            "drift": {pair: _measured(anomalies) for pair, anomalies in drift.items()},
        }
        folder = Path(artifact_utils.get_single_uri(output_dict["approval"]))
        write_json(folder / "report.json", report)


def _empty_splits(statistics: dict[str, DatasetFeatureStatistics]) -> Iterator[str]:
    for split, of_split in statistics.items():
        if not of_split.num_examples:
            yield f"{split}: holds nothing"


def _missing_labels(statistics: dict[str, DatasetFeatureStatistics]) -> Iterator[str]:
    """TFDV holds a split to its schema, not to the other splits' words."""
    labels = {split: _labels(of_split) for split, of_split in statistics.items()}
    known = sorted(set().union(*labels.values()))
    for split, present in labels.items():
        for label in known:
            if label not in present:
                yield f"{split}: label: no clip of the class {label!r}"


def _labels(statistics: DatasetFeatureStatistics) -> dict[str, int]:
    for feature in statistics.features:
        if list(feature.path.step) == [_LABEL]:
            buckets = feature.string_stats.rank_histogram.buckets
            return {bucket.label: int(bucket.sample_count) for bucket in buckets}
    return {}


def _anomalies(
    artifact: Artifact, features: dict[str, Feature], offenders: Offenders
) -> Iterator[str]:
    """What ExampleValidator found, with the names of the clips or records that are to blame."""
    for split in artifact_utils.decode_split_names(artifact.split_names):
        anomalies = _read(Path(artifact_utils.get_split_uri([artifact], split)))
        yield from _dataset_anomalies(split, anomalies)
        for name, info in sorted(anomalies.anomaly_info.items()):
            names = offenders.of(split, features[name]) if name in features else []
            meaning = ", ".join(features[name].annotation.comment) if names else ""
            parts = [split, name, *filter(None, [meaning]), _described(info)]
            yield ": ".join(parts) + (f" ({', '.join(names)})" if names else "")


def _drift(drift: dict[str, Anomalies]) -> Iterator[str]:
    for pair, anomalies in drift.items():
        split, _, baseline = pair.partition("_")
        yield from _dataset_anomalies(pair, anomalies)
        for name, info in sorted(anomalies.anomaly_info.items()):
            yield f"{split}: {name}: drift against {baseline}: {_described(info)}"


def _dataset_anomalies(where: str, anomalies: Anomalies) -> Iterator[str]:
    if anomalies.HasField("dataset_anomaly_info"):
        yield f"{where}: {_described(anomalies.dataset_anomaly_info)}"
    if anomalies.data_missing:
        yield f"{where}: no data"


def _described(info: AnomalyInfo) -> str:
    reasons: Iterable[str] = (reason.description.strip() for reason in info.reason)
    text = " ".join(reasons) or info.description.strip() or info.short_description.strip()
    return " ".join(_DIGITS.sub("", text).split()).rstrip(".")


def _measured(anomalies: Anomalies) -> dict[str, dict[str, float]]:
    """For each feature what the distance to train is, and its threshold."""
    return {
        ".".join(info.path.step): {
            "measured": measurement.value,
            "threshold": measurement.threshold,
        }
        for info in anomalies.drift_skew_info
        for measurement in info.drift_measurements
    }


def _read(folder: Path) -> Anomalies:
    return Anomalies.FromString((folder / _ANOMALIES_FILE).read_bytes())


def _message(found: list[str], schema_path: str) -> str:
    count = f"{len(found)} anomal{'y' if len(found) == 1 else 'ies'}"
    lines = [
        f"the data has {count}; correct the data, or if it is right, the bound in {schema_path}",
        *found[:_MOST_LINES],
    ]
    if len(found) > _MOST_LINES:
        lines.append(f"… and {len(found) - _MOST_LINES} more")
    return "\n".join(lines)
