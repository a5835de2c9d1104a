"""Figures of a candidate, taken with the predictor that runs on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from components.constraint_evaluator.budgets import metric_units
from components.constraint_evaluator.intervals import mean_of_series
from components.constraint_evaluator.report import Figure
from components.errors import InputError
from components.specification import AudioSpecification, RecordSpecification
from edge_client.wilson import wilson


@dataclass(frozen=True)
class Split:
    """Raw inputs ``[n, ...]`` as a device gets them, and the answers, ordered by path or time."""

    inputs: npt.NDArray[Any]
    answers: npt.NDArray[Any]


class Measure(Protocol):
    """How one task's quality is measured."""

    units: dict[str, str]  # of the metrics a budget can bound

    def split(self, rows: Sequence[Mapping[str, Any]]) -> Split:
        """The Examples of a split as arrays."""

    def figures(self, outputs: npt.NDArray[np.float32], split: Split) -> dict[str, Figure]:
        """Figures by metric from the outputs for every input of the split, ``[n, ...]``."""

    def merit(self, figures: Mapping[str, Figure]) -> float:
        """The one number that decides between candidates; more is better."""


class KeywordMeasure:
    """Clips ``[n, samples]`` int16, answers ``[n]`` label indices; accuracy in percent."""

    def __init__(self, specification: AudioSpecification) -> None:
        self._labels = {label.encode(): i for i, label in enumerate(specification.labels)}
        self.units = metric_units()

    def split(self, rows: Sequence[Mapping[str, Any]]) -> Split:
        """Raises ``InputError`` for a word that training never heard."""
        unknown = sorted({row["label"] for row in rows} - set(self._labels))
        if unknown:
            raise InputError(f"label {unknown[0].decode()!r} does not occur in the train split")
        clips = np.stack([np.frombuffer(row["audio"], "<i2") for row in rows])
        return Split(clips, np.array([self._labels[row["label"]] for row in rows]))

    def figures(self, outputs: npt.NDArray[np.float32], split: Split) -> dict[str, Figure]:
        """Share of clips whose highest score is the right word's; scores of NaN are wrong."""
        finite = np.isfinite(outputs).all(-1)
        right = finite & (outputs.argmax(-1) == split.answers)
        low, high = wilson(int(right.sum()), len(right))
        return {"accuracy": Figure.of(100 * float(right.mean()), (100 * low, 100 * high))}

    def merit(self, figures: Mapping[str, Figure]) -> float:
        """The accuracy."""
        return _number(figures["accuracy"])


class ForecastMeasure:
    """Windows ``[n, input_steps, quantities]``, answers ``[n, output_steps, quantities]``.

    Errors are mean absolute errors over windows and steps, one for each quantity, in its unit.
    """

    def __init__(self, specification: RecordSpecification) -> None:
        self._window = specification.window
        self._std = specification.standardisation.std
        self.units = metric_units(self._window.quantities)

    def split(self, rows: Sequence[Mapping[str, Any]]) -> Split:
        """See :class:`Measure`."""
        steps = self._window.input_steps, self._window.output_steps
        inputs, answers = (
            np.stack([np.frombuffer(row[name], "<f4") for row in rows]).reshape(
                len(rows), count, len(self._window.quantities)
            )
            for name, count in zip(("window", "target"), steps, strict=True)
        )
        return Split(inputs, answers)

    def figures(self, outputs: npt.NDArray[np.float32], split: Split) -> dict[str, Figure]:
        """The error, that of repeating the last record, and their ratio, for each quantity."""
        error = np.abs(outputs.reshape(split.answers.shape) - split.answers).mean(1)
        floor = np.abs(split.inputs[:, -1:] - split.answers).mean(1)
        figures = {}
        for i, quantity in enumerate(self._window.quantities):
            mae, persistence = _mean(error[:, i]), _mean(floor[:, i])
            ratio = mae / persistence if persistence else np.nan  # nothing moves: no ratio
            figures[f"mae.{quantity.name}"] = Figure.of(mae, mean_of_series(error[:, i]))
            figures[f"persistence.{quantity.name}"] = Figure.of(persistence)
            figures[f"mae_over_persistence.{quantity.name}"] = Figure.of(ratio)
        return figures

    def merit(self, figures: Mapping[str, Figure]) -> float:
        """The error in deviations of the train split, averaged over the quantities, negated."""
        errors = [_number(figures[f"mae.{q.name}"]) for q in self._window.quantities]
        return -float(np.mean(np.divide(errors, self._std)))


def measure_of(specification: AudioSpecification | RecordSpecification) -> Measure:
    """The measure that goes with a specification."""
    if isinstance(specification, AudioSpecification):
        return KeywordMeasure(specification)
    return ForecastMeasure(specification)


def _mean(values: npt.NDArray[np.float32]) -> float:
    return float(np.mean(values, dtype=np.float64))


def _number(figure: Figure) -> float:
    return np.nan if figure.value is None else figure.value
