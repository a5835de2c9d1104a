"""From a recording or a window of records to a model's answer, and how long each step took."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from edge_client.audio import Int16, fit_clip, to_float
from edge_client.bundle.file import Bundle
from edge_client.bundle.manifest import (
    AudioInput,
    ForecastOutput,
    LabelOutput,
    RecordInput,
    TensorQuantization,
)
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures
from edge_client.interpreter import Interpreter, ModelError

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one prediction; reading the input from disk is not in it."""

    features: float  # channels, cutting, resampling and the front end; 0 for records
    inference: float  # standardisation, quantisation and the model
    total: float


@dataclass(frozen=True)
class Scores:
    """What a keyword model says about one clip."""

    label: str  # the likeliest
    scores: Float32  # [labels] probabilities, in the order of the manifest's labels
    margin: float  # the best score minus the second best
    features: Float32  # [frames, bins] that the front end gave, not standardised
    latency: Latency


@dataclass(frozen=True)
class Forecast:
    """What a forecaster says after one window."""

    values: Float32  # [steps, quantities] in physical units
    latency: Latency


class AudioPredictor:
    """Classifies recordings with the keyword model of a bundle."""

    def __init__(
        self, bundle: Bundle, name: str = "bundle", features: AudioFeatures | None = None
    ) -> None:
        """Loads the model.

        Args:
            bundle: whose model it is.
            name: what error messages call it.
            features: another front end of the same shape and clip, such as the manifest's
                ``fast``; the manifest's own when left out.

        Raises:
            ModelError: the bundle holds no keyword model that runs here.
        """
        taken, given = bundle.manifest.input, bundle.manifest.output
        if not isinstance(taken, AudioInput) or not isinstance(given, LabelOutput):
            raise ModelError(f"{name}: a {bundle.manifest.task} model takes no recordings")
        self.input = taken
        self.labels = given.labels
        self.features = features or taken.features
        self._front_end = FrontEnd(self.features)
        self._interpreter = _interpreter(bundle, name)

    def __call__(self, audio: Int16 | Float32, rate: int) -> Scores:
        """Classifies one recording.

        Args:
            audio: ``[n]`` or ``[n, channels]``, int16 or float32 in [-1, 1).
            rate: its sampling rate in Hz.
        """
        began = perf_counter_ns()
        clip = to_float(fit_clip(audio, rate, self.input.sample_rate, self.input.samples))
        features = self._front_end(clip, self.input.sample_rate)
        computed = perf_counter_ns()
        scores = self._interpreter(features).copy()
        done = perf_counter_ns()
        second, best = sorted(scores.tolist())[-2:]
        return Scores(
            label=self.labels[scores.argmax()],
            scores=scores,
            margin=best - second,
            features=features,
            latency=_latency(began, computed, done),
        )


class RecordPredictor:
    """Forecasts records with the forecaster of a bundle."""

    def __init__(self, bundle: Bundle, name: str = "bundle") -> None:
        """Raises :class:`ModelError` when the bundle holds no forecaster that runs here."""
        taken, given = bundle.manifest.input, bundle.manifest.output
        if not isinstance(taken, RecordInput) or not isinstance(given, ForecastOutput):
            raise ModelError(f"{name}: a {bundle.manifest.task} model takes no records")
        self.window = taken.window
        self._shape = (given.steps, len(given.quantities))
        self._interpreter = _interpreter(bundle, name)

    def __call__(self, records: Float32) -> Forecast:
        """Forecasts from ``[input_steps, quantities]`` in physical units, none missing."""
        began = perf_counter_ns()
        values = self._interpreter(records).copy()
        done = perf_counter_ns()
        return Forecast(values.reshape(self._shape), _latency(began, began, done))


def load_predictor(bundle: Bundle, name: str = "bundle") -> AudioPredictor | RecordPredictor:
    """The predictor for whatever the bundle's model does; raises :class:`ModelError`."""
    kind = AudioPredictor if bundle.manifest.task == "keyword_spotting" else RecordPredictor
    return kind(bundle, name)


def _interpreter(bundle: Bundle, name: str) -> Interpreter:
    """The bundle's model, after its tensors turned out to be what the manifest says."""
    manifest = bundle.manifest
    interpreter = Interpreter(bundle.model, manifest.input.standardisation, name)
    if isinstance(manifest.input, AudioInput):
        taken = int(np.prod(manifest.input.features.shape))
    else:
        taken = manifest.input.window.input_steps * len(manifest.input.window.quantities)
    if isinstance(manifest.output, LabelOutput):
        given = len(manifest.output.labels)
    else:
        given = manifest.output.steps * len(manifest.output.quantities)
    if (interpreter.input_size, interpreter.output_size) != (taken, given):
        raise ModelError(
            f"{name}: its model takes {interpreter.input_size} values and gives "
            f"{interpreter.output_size}, its manifest says {taken} and {given}"
        )
    real, said = interpreter.quantization, manifest.quantization
    if not (_same(real.input, said.input) and _same(real.output, said.output)):
        raise ModelError(f"{name}: its model is quantised otherwise than its manifest says")
    return interpreter


def _same(one: TensorQuantization | None, other: TensorQuantization | None) -> bool:
    if one is None or other is None:
        return one is other
    stored = (one.dtype, one.zero_point) == (other.dtype, other.zero_point)
    return stored and isclose(one.scale, other.scale, rel_tol=1e-6)  # float32, by way of JSON


def _latency(began: int, computed: int, done: int) -> Latency:
    return Latency((computed - began) / 1e6, (done - computed) / 1e6, (done - began) / 1e6)
