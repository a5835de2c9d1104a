"""Which clips or records are out of range, by name."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import tensorflow as tf
from tensorflow_metadata.proto.v0.schema_pb2 import Feature
from tfx.types.artifact import Artifact

from components.examples import read_split

_MOST_NAMES = 5


class Offenders:
    """Reads a split only when asked, for that takes a second and most runs have no anomaly."""

    def __init__(self, examples: Artifact) -> None:
        self._examples = examples

    def of(self, split: str, feature: Feature) -> list[str]:
        """Names of those whose value is not in the feature's domain, the last being "3 more"."""
        if not feature.HasField("float_domain"):
            return []
        names: list[str] = []
        more = 0
        for example in read_split(self._examples, split):
            values = example.features.feature[feature.name].float_list.value
            if all(_within(value, feature) for value in values):
                continue
            if len(names) < _MOST_NAMES:
                names.append(_name(example))
            else:
                more += 1
        return [*names, f"{more} more"] if more else names


def _within(value: float, feature: Feature) -> bool:
    domain = feature.float_domain
    low = domain.min if domain.HasField("min") else -math.inf
    high = domain.max if domain.HasField("max") else math.inf
    return math.isfinite(value) and low <= value <= high


def _name(example: tf.train.Example) -> str:
    features = example.features.feature
    if "path" in features:
        return str(features["path"].bytes_list.value[0].decode("utf-8", "replace"))
    seconds = features["time"].int64_list.value[0]
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(sep=" ")
