"""What follows a window of temperature and humidity, by a bundle or a plain TFLite model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_client.bundle.file import MAX_BUNDLE_BYTES, read_bundle
from edge_client.bundle.manifest import MAX_MODEL_BYTES, ForecastOutput
from edge_client.features.spec import Standardisation
from edge_client.files import check_size, read_input
from edge_client.interpreter import Interpreter, ModelError
from edge_client.monitor.quantities import MONITORED
from edge_client.predictor import RecordPredictor

if TYPE_CHECKING:
    from edge_client.bundle.file import Bundle

Float32 = npt.NDArray[np.float32]

PLAIN_STEPS = 6  # samples that a plain model takes, as the coursework's do
MAX_OUTPUT_STEPS = 1000

_BUNDLE, _TFLITE = b"PK\x03\x04", b"TFL3"


class Forecaster:
    """A model that forecasts samples from samples."""

    def __init__(
        self, run: RecordPredictor | Interpreter, name: str, steps: tuple[int, int]
    ) -> None:
        """Made by :func:`load_forecaster`."""
        self._run = run
        self.name = name  # and version, where there is one
        self.input_steps, self.output_steps = steps

    def __call__(self, samples: Float32) -> Float32:
        """``[input_steps, 2]`` in °C and % gives ``[output_steps, 2]`` in the same units.

        Raises:
            ModelError: the model fails.
        """
        if isinstance(self._run, RecordPredictor):
            return self._run(samples).values
        return self._run(samples).reshape(self.output_steps, len(MONITORED)).copy()


def load_forecaster(
    source: Path | bytes, name: str, standardisation: Standardisation
) -> Forecaster:
    """Loads a model.

    Args:
        source: a bundle or a plain TFLite model: its path, or its bytes.
        name: what error messages call it, and alarms if it is plain.
        standardisation: of a plain model's inputs; a bundle brings its own.

    Raises:
        EdgeError: neither of the two, or it does not forecast temperature and humidity, or does
            not run here.
    """
    if isinstance(source, bytes):
        data = source
    else:
        data = read_input(source, MAX_BUNDLE_BYTES, str(source), ModelError)
    if data.startswith(_BUNDLE):
        return _of_bundle(read_bundle(data, name), name)
    if data[4:8] != _TFLITE:
        raise ModelError(f"{name}: neither a bundle nor a TFLite model")
    check_size(len(data), MAX_MODEL_BYTES, name, ModelError)
    return _of_plain(Interpreter(data, standardisation, name), name)


def _of_bundle(bundle: Bundle, name: str) -> Forecaster:
    manifest = bundle.manifest
    predictor = RecordPredictor(bundle, name)
    taken, given = predictor.window, manifest.output
    wanted = [each.unit for each in MONITORED]
    units = [each.unit for each in taken.quantities]
    names = tuple(each.name for each in taken.quantities)
    if units != wanted or not isinstance(given, ForecastOutput) or given.quantities != names:
        raise ModelError(
            f"{name}: it forecasts {', '.join(names)} in {', '.join(units)}; temperature in Cel "
            "and humidity in %RH are monitored, in this order"
        )
    steps = taken.input_steps, given.steps
    return Forecaster(predictor, f"{manifest.name}:{manifest.version}", steps)


def _of_plain(model: Interpreter, name: str) -> Forecaster:
    width = len(MONITORED)
    taken, given = model.input_shape, model.output_shape
    fits = taken in ((1, PLAIN_STEPS, width), (1, PLAIN_STEPS * width))
    steps = model.output_size // width
    rows = given in ((1, steps, width), (1, steps * width))
    if not fits or not rows or not 1 <= steps <= MAX_OUTPUT_STEPS:
        raise ModelError(
            f"{name}: a model of {_shape(taken)} to {_shape(given)}; 1x{PLAIN_STEPS}x{width} or "
            f"1x{PLAIN_STEPS * width} to 1x{width} or 1xNx{width} is wanted, temperature first"
        )
    return Forecaster(model, Path(name).stem[:100] or "model", (PLAIN_STEPS, steps))


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
