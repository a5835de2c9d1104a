"""A candidate run as a device runs it: LiteRT, one thread, one input at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from components.constraint_evaluator.candidates import Candidate
from components.constraint_evaluator.report import Latency
from components.errors import InputError
from components.examples import SAMPLE_RATE
from components.progress import Bar
from components.specification import AudioSpecification, RecordSpecification
from edge_client.bundle import Bundle, Manifest, Quantization
from edge_client.interpreter import Interpreter, ModelError
from edge_client.predictor import AudioPredictor, RecordPredictor
from edge_client.predictor import Latency as Timing

WARM_UP = 20
RUNS = 200
_BLOCK = 64  # inputs between two movements of the bar


Answer = tuple[npt.NDArray[np.float32], Timing]


class Device:
    """The predictor of a device with one candidate in it."""

    def __init__(self, manifest: Manifest, candidate: Candidate) -> None:
        """Raises ``InputError`` when the candidate does not run there."""
        bundle = Bundle(manifest, candidate.model)
        make = _keyword_answer if manifest.task == "keyword_spotting" else _forecast_answer
        try:
            self._answer = make(bundle, candidate.recipe)
        except ModelError as error:
            raise _does_not_run(error) from None

    def outputs(self, inputs: npt.NDArray[Any], bar: Bar) -> npt.NDArray[np.float32]:
        """What the model makes of ``[n, ...]`` raw inputs: ``[n, ...]`` scores or forecasts."""
        outputs = []
        for start in range(0, len(inputs), _BLOCK):
            block = inputs[start : start + _BLOCK]
            outputs += [self._answer(one)[0] for one in block]
            bar.advance(by=len(block))
        return np.stack(outputs)

    def latency(self, inputs: npt.NDArray[Any]) -> dict[str, Latency]:
        """Features, inference and total over ``RUNS`` predictions after a warm-up."""
        timings = list(islice(self._timings(inputs), WARM_UP, WARM_UP + RUNS))
        return {
            part: _latency([getattr(timing, part) for timing in timings])
            for part in ("features", "inference", "total")
        }

    def _timings(self, inputs: npt.NDArray[Any]) -> Iterator[Timing]:
        for one in cycle(inputs):
            yield self._answer(one)[1]


def quantization(
    candidate: Candidate, specification: AudioSpecification | RecordSpecification
) -> Quantization:
    """How the candidate's tensors are stored, from the interpreter's own account.

    Raises ``InputError`` when LiteRT cannot load it.
    """
    try:
        return Interpreter(
            candidate.model, specification.standardisation, candidate.recipe
        ).quantization
    except ModelError as error:
        raise _does_not_run(error) from None


def _keyword_answer(bundle: Bundle, name: str) -> Callable[[npt.NDArray[np.int16]], Answer]:
    predictor = AudioPredictor(bundle, name)

    def answer(clip: npt.NDArray[np.int16]) -> Answer:
        scores = predictor(clip, SAMPLE_RATE)
        return scores.scores, scores.latency

    return answer


def _forecast_answer(bundle: Bundle, name: str) -> Callable[[npt.NDArray[np.float32]], Answer]:
    predictor = RecordPredictor(bundle, name)

    def answer(window: npt.NDArray[np.float32]) -> Answer:
        forecast = predictor(window)
        return forecast.values, forecast.latency

    return answer


def _does_not_run(error: ModelError) -> InputError:
    return InputError(f"candidate {error}; change its steps under compression")


def _latency(milliseconds: list[float]) -> Latency:
    median, p95 = np.percentile(milliseconds, (50, 95))
    return Latency(float(median), float(p95), len(milliseconds))
