"""What a bundle says about itself, as dataclasses; ``parse`` reads them back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edge_client.features.spec import AudioFeatures, RecordWindow, Standardisation

FORMAT = 1
MAX_MODEL_BYTES = 16 * 2**20  # packed or unpacked
MODEL_FILES = {"none": "model.tflite", "zlib": "model.tflite.zlib"}  # by compression


@dataclass(frozen=True)
class AudioInput:
    """One clip: ``[samples]`` int16 PCM, mono, at ``sample_rate`` Hz."""

    sample_rate: int
    samples: int
    features: AudioFeatures
    standardisation: Standardisation  # one mean and deviation per bin


@dataclass(frozen=True)
class RecordInput:
    """One window: ``[input_steps, quantities]`` float32 in physical units."""

    window: RecordWindow
    standardisation: Standardisation  # one mean and deviation per quantity


@dataclass(frozen=True)
class LabelOutput:
    """``[labels]`` softmax probabilities."""

    labels: tuple[str, ...]


@dataclass(frozen=True)
class ForecastOutput:
    """``[steps, quantities]`` in physical units, the first step right after the window."""

    quantities: tuple[str, ...]
    steps: int


@dataclass(frozen=True)
class TensorQuantization:
    """``real = (stored - zero_point) * scale`` of an int8 or uint8 tensor."""

    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Quantization:
    """How the model's own tensors are stored; None for float32."""

    input: TensorQuantization | None
    output: TensorQuantization | None


@dataclass(frozen=True)
class Learned:
    """Logistic regression over what :func:`edge_client.deferral.policies.phi` gives."""

    weights: tuple[float, ...]  # [2 * labels]
    bias: float


@dataclass(frozen=True)
class Deferral:
    """When to ask the big model, and how to fuse its answer; all of it chosen on validation."""

    temperature: float  # that calibrates the scores
    learned: Learned | None
    fusion: float  # weight of the small model's answer beside the big one's
    policy: str  # the best on validation
    thresholds: Mapping[str, float]  # by policy: ask when its doubt is above
    target: str  # what the thresholds were chosen for, such as "share < 0.08"
    validation_accuracy: float  # of both models together, in percent
    validation_share: float  # of clips asked, 0 to 1

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "temperature": self.temperature,
            "learned": {"weights": list(self.learned.weights), "bias": self.learned.bias}
            if self.learned
            else None,
            "fusion": self.fusion,
            "policy": self.policy,
            "thresholds": dict(self.thresholds),
            "target": self.target,
            "validation": {"accuracy": self.validation_accuracy, "share": self.validation_share},
        }


@dataclass(frozen=True)
class FastMode:
    """A cheaper front end for the same model, and when its answer is not enough."""

    features: AudioFeatures  # of the same shape and clip as the input's
    threshold: float  # a margin of the scores below it wants the full front end


@dataclass(frozen=True)
class Budget:
    """One budget and what was measured: ``measured <comparison> required`` holds strictly."""

    metric: str
    comparison: Literal["<", ">"]
    required: float
    measured: float
    unit: str  # empty where the metric has none


@dataclass(frozen=True)
class ModelFile:
    """The model as it lies in the bundle, and as it is once unpacked."""

    file: str
    compression: Literal["none", "zlib"]
    bytes: int
    sha256: str
    raw_bytes: int
    raw_sha256: str


@dataclass(frozen=True)
class Golden:
    """An input (bytes of int16 PCM or float32 records) and what the model made of it."""

    input: bytes
    output: tuple[float, ...]  # flat: probabilities, or steps x quantities


@dataclass(frozen=True)
class Origin:
    """The pipeline run that made the bundle."""

    pipeline: str
    run_id: str
    recipe: str


@dataclass(frozen=True)
class Manifest:
    """Everything a device needs to know about one model."""

    name: str
    version: str
    task: str
    input: AudioInput | RecordInput
    output: LabelOutput | ForecastOutput
    quantization: Quantization
    deferral: Deferral | None
    budgets: tuple[Budget, ...]
    model: ModelFile
    golden: tuple[Golden, ...]
    created_by: Origin
    fast: FastMode | None = None

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON-able values; ``parse_manifest`` reads their text back."""
        if isinstance(self.input, AudioInput):
            taken: dict[str, Any] = {
                "kind": "audio",
                "sample_rate": self.input.sample_rate,
                "samples": self.input.samples,
                "features": self.input.features.to_json(),
            }
        else:
            taken = {"kind": "records", "window": self.input.window.to_json()}
        taken["standardisation"] = self.input.standardisation.to_json()
        if isinstance(self.output, LabelOutput):
            given: dict[str, Any] = {"kind": "labels", "labels": list(self.output.labels)}
        else:
            given = {
                "kind": "forecast",
                "quantities": list(self.output.quantities),
                "steps": self.output.steps,
            }
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "task": self.task,
            "input": taken,
            "output": given,
            "quantization": asdict(self.quantization),
            "deferral": self.deferral.to_json() if self.deferral else None,
            "fast": {"features": self.fast.features.to_json(), "threshold": self.fast.threshold}
            if self.fast
            else None,
            "budgets": [asdict(budget) for budget in self.budgets],
            "model": asdict(self.model),
            "golden": [
                {"input": base64.b64encode(g.input).decode(), "output": list(g.output)}
                for g in self.golden
            ],
            "created_by": asdict(self.created_by),
        }

    def serialise(self) -> bytes:
        """UTF-8 JSON, the same bytes for the same manifest."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"
