"""What a transform tells the steps after it: ``specification.json`` of a FeatureSpecification."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.json_file import write_json
from edge_client.features.spec import AudioFeatures, RecordWindow, SpecError, Standardisation

_FILE = "specification.json"


@dataclass(frozen=True)
class AudioSpecification:
    """Features of clips, one mean and deviation per bin, and the words in label order."""

    features: AudioFeatures
    standardisation: Standardisation
    labels: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "kind": "audio",
            "features": self.features.to_json(),
            "standardisation": self.standardisation.to_json(),
            "labels": list(self.labels),
        }


@dataclass(frozen=True)
class RecordSpecification:
    """Windows of records, one mean and deviation per quantity."""

    window: RecordWindow
    standardisation: Standardisation

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "kind": "records",
            "window": self.window.to_json(),
            "standardisation": self.standardisation.to_json(),
        }


Specification = AudioSpecification | RecordSpecification


def write_specification(folder: str | Path, specification: Specification) -> None:
    """Fills the folder of a FeatureSpecification."""
    write_json(Path(folder) / _FILE, specification.to_json())


def read_specification(folder: str | Path) -> Specification:
    """Raises ``InputError`` where the file is missing or is not one of ours."""
    path = Path(folder) / _FILE
    try:
        values = json.loads(path.read_text())
        standardisation = Standardisation.from_json(values["standardisation"])
        if values["kind"] == "audio":
            features = AudioFeatures.from_json(values["features"])
            return AudioSpecification(features, standardisation, tuple(values["labels"]))
        return RecordSpecification(RecordWindow.from_json(values["window"]), standardisation)
    except (OSError, json.JSONDecodeError, KeyError, TypeError, SpecError) as error:
        raise InputError(f"{path}: not a feature specification ({error})") from None
