"""The part of a DAG that validates Examples: TFDV's components and the gate behind them."""

from __future__ import annotations

from pathlib import Path

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0.schema_pb2 import Schema
from tfx.components import ExampleValidator, StatisticsGen
from tfx.components.distribution_validator.component import DistributionValidator
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.proto.distribution_validator_pb2 import DistributionValidatorConfig
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel

from components.data_gate.component import DataGate
from components.errors import InputError
from components.fingerprint import fingerprint

SCHEMA_FILE = "schema.pbtxt"
_PAIRS = [("validation", "train"), ("test", "train")]


def validation(examples: BaseChannel, schema_folder: str | Path) -> tuple[list[BaseNode], DataGate]:
    """The components that validate ``examples``, in order, and the last of them, the gate.

    Whatever must not see unchecked data takes the gate's ``outputs['approval']`` or
    is added behind it with ``add_upstream_node``.

    Args:
        examples: of AudioExampleGen or RecordExampleGen.
        schema_folder: holds ``schema.pbtxt`` and nothing else; the ``drift_comparator`` of a
            feature there is the threshold for drift between the train split and the others.

    Raises:
        InputError: no schema there, or it cannot be read.
    """
    folder = Path(schema_folder).absolute()
    schema = read_schema(folder)
    statistics = StatisticsGen(examples=examples, stats_options=stats_options(schema))
    # Not ImportSchemaGen, whose cache key is the file's name: it would miss every edit.
    importer = Importer(
        source_uri=str(folder),
        artifact_type=standard_artifacts.Schema,
        custom_properties={"sha256": fingerprint(folder)},
    ).with_id("Schema")
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=importer.outputs["result"]
    )
    drift = DistributionValidator(
        statistics=statistics.outputs["statistics"],
        baseline_statistics=statistics.outputs["statistics"],
        config=drift_config(schema),
        include_split_pairs=_PAIRS,
    )
    gate = DataGate(
        examples=examples,
        statistics=statistics.outputs["statistics"],
        schema=importer.outputs["result"],
        anomalies=validator.outputs["anomalies"],
        drift=drift.outputs["anomalies"],
    )
    nodes: list[BaseNode] = [statistics, importer, validator, drift, gate]
    return nodes, gate


def read_schema(folder: Path) -> Schema:
    """The schema kept in ``folder``; raises InputError."""
    path = folder / SCHEMA_FILE
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), Schema())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(f"{path}: no schema can be read from it ({error})") from None


def stats_options(schema: Schema) -> tfdv.StatsOptions:
    """Audio Examples: only what the schema lists, for bytes of sound have none.  Others: all."""
    names = [feature.name for feature in schema.feature]
    is_audio = "label" in names
    return tfdv.StatsOptions(feature_allowlist=names if is_audio else None)


def drift_config(schema: Schema) -> DistributionValidatorConfig:
    """What DistributionValidator compares: every feature with a ``drift_comparator``."""
    config = DistributionValidatorConfig()
    for feature in schema.feature:
        if feature.HasField("drift_comparator"):
            compared = config.default_slice_config.feature.add()
            compared.path.step.append(feature.name)
            compared.distribution_comparator.CopyFrom(feature.drift_comparator)
    return config
