"""What follows a window of temperature and humidity, by a bundle or a plain TFLite model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_client.bundle.manifest import MAX_MODEL_BYTES, ForecastOutput
from edge_client.errors import EdgeError
from edge_client.features.spec import Standardisation
from edge_client.files import check_size, read_input
from edge_client.interpreter import Interpreter, ModelError
from edge_client.monitor.quantities import MONITORED
from edge_client.predictor import AudioPredictor, RecordPredictor

if TYPE_CHECKING:
    from edge_client.bundle.file import Bundle

Float32 = npt.NDArray[np.float32]

PLAIN_STEPS = 6  # samples that a plain model takes, as the coursework's do
MAX_OUTPUT_STEPS = 1000

_TFLITE = b"TFL3"  # from the fifth byte on
_MAX_NAME = 100


class Forecaster:
    """A model that forecasts samples from samples."""

    def __init__(
        self, run: Callable[[Float32], Float32], name: str, input_steps: int, output_steps: int
    ) -> None:
        """Made by :func:`of_bundle` and :func:`of_plain`.

        Args:
            run: ``[input_steps, 2]`` to as many values as ``[output_steps, 2]`` has.
            name: of the model, with its version where it has one.
            input_steps: samples it takes.
            output_steps: samples it gives.
        """
        self.name = name
        self.input_steps, self.output_steps = input_steps, output_steps
        self._run = run

    def __call__(self, samples: Float32) -> Float32:
        """``[input_steps, 2]`` in °C and % gives ``[output_steps, 2]`` in the same units.

        Raises:
            ModelError: the model fails.
        """
        return self._run(samples).reshape(self.output_steps, len(MONITORED)).copy()


def of_bundle(bundle: Bundle, predictor: AudioPredictor | RecordPredictor, name: str) -> Forecaster:
    """The model of a bundle.

    Args:
        bundle: a forecaster's.
        predictor: made from it.
        name: what error messages call it.

    Raises:
        EdgeError: it forecasts something else, which is no fault of the model.
    """
    manifest = bundle.manifest
    given = manifest.output
    if not isinstance(predictor, RecordPredictor) or not isinstance(given, ForecastOutput):
        raise EdgeError(f"{name}: a {manifest.task} model; one that forecasts is wanted")
    taken = predictor.window
    units = [each.unit for each in taken.quantities]
    names = tuple(each.name for each in taken.quantities)
    if units != [each.unit for each in MONITORED] or given.quantities != names:
        raise EdgeError(
            f"{name}: it forecasts {', '.join(given.quantities)}; temperature in Cel and humidity "
            "in %RH are monitored, in this order"
        )
    model = f"{manifest.name}:{manifest.version}"
    return Forecaster(lambda rows: predictor(rows).values, model, taken.input_steps, given.steps)


def of_plain(data: bytes, name: str, standardisation: Standardisation) -> Forecaster:
    """A plain TFLite model.

    Args:
        data: the file.
        name: what error messages call it; the end of it is the model's name.
        standardisation: of its inputs.

    Raises:
        EdgeError: it is none, does not run here, or takes or gives something else.
    """
    check_size(len(data), MAX_MODEL_BYTES, name, ModelError)
    if not is_plain(data):
        raise ModelError(f"{name}: not a TFLite model")
    model = Interpreter(data, standardisation, name)
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
    return Forecaster(model, Path(name).stem[:_MAX_NAME] or "model", PLAIN_STEPS, steps)


def is_plain(data: bytes) -> bool:
    """Whether a file, or its beginning, is a TFLite model's."""
    return data[4:8] == _TFLITE


def read_plain(path: Path) -> bytes | None:
    """The content of a file that is a plain TFLite model; None for any other, or none at all."""
    if not path.is_file():
        return None
    data = read_input(path, MAX_MODEL_BYTES, str(path), EdgeError)
    return data if is_plain(data) else None


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
