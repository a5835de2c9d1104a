"""The manifest of a candidate: what a device must know to run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.constraint_evaluator.budgets import BudgetLine
from components.examples import SAMPLE_RATE, SAMPLES
from components.specification import AudioSpecification, RecordSpecification
from edge_client.bundle import (
    AudioInput,
    Budget,
    ForecastOutput,
    Golden,
    LabelOutput,
    RecordInput,
)

GOLDEN = 3  # inputs for the device's self-test
_GOLDEN_TYPES = {"i": "<i2", "f": "<f4"}  # by kind of NumPy's dtype


def task_of(specification: AudioSpecification | RecordSpecification) -> str:
    """The manifest's ``task``."""
    audio = isinstance(specification, AudioSpecification)
    return "keyword_spotting" if audio else "forecasting"


def taken(specification: AudioSpecification | RecordSpecification) -> AudioInput | RecordInput:
    """The manifest's ``input``."""
    if isinstance(specification, AudioSpecification):
        return AudioInput(
            SAMPLE_RATE, SAMPLES, specification.features, specification.standardisation
        )
    return RecordInput(specification.window, specification.standardisation)


def given(specification: AudioSpecification | RecordSpecification) -> LabelOutput | ForecastOutput:
    """The manifest's ``output``."""
    if isinstance(specification, AudioSpecification):
        return LabelOutput(specification.labels)
    window = specification.window
    return ForecastOutput(tuple(q.name for q in window.quantities), window.output_steps)


def golden(inputs: npt.NDArray[Any], outputs: npt.NDArray[np.float32]) -> tuple[Golden, ...]:
    """Inputs spread over a split, ``[n, ...]``, with what the model made of them.

    Where it made no numbers of an input, there is nothing a device could compare.
    """
    usable = np.flatnonzero(np.isfinite(outputs.reshape(len(outputs), -1)).all(-1))
    spread = np.linspace(0, len(usable) - 1, min(GOLDEN, len(usable)))
    places = usable[spread.round().astype(int)]
    dtype = _GOLDEN_TYPES[inputs.dtype.kind]
    return tuple(
        Golden(
            inputs[i].astype(dtype).tobytes(),
            tuple(float(value) for value in outputs[i].reshape(-1)),
        )
        for i in places
    )


def stated(lines: Sequence[BudgetLine]) -> tuple[Budget, ...]:
    """The manifest's ``budgets``, all of them met."""
    return tuple(
        Budget(
            metric=line.metric,
            comparison="<" if line.comparison == "<" else ">",
            required=line.required,
            measured=line.measured,
            unit=line.unit,
        )
        for line in lines
        if line.measured is not None
    )
