"""The fast mode: how sure an answer on the cheap front end must be to be left at that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.constraint_evaluator.budgets import BudgetLine
from components.deferral.pair import Float32
from components.deferral.tuning import OperatingPoints
from components.errors import InputError
from edge_client.bundle import FastMode
from edge_client.features.spec import AudioFeatures


@dataclass(frozen=True)
class FastAnswers:
    """One model on its two front ends: ``[n, labels]`` probabilities each, and ``[n]`` truths."""

    fast: Float32
    full: Float32
    truth: npt.NDArray[np.int64]

    def margins(self) -> npt.NDArray[np.float64]:
        """``[n]`` best minus second best score, as the device computes it."""
        best = np.partition(self.fast.astype(np.float64), -2, axis=-1)
        return np.asarray(best[:, -1] - best[:, -2])

    def at(self, threshold: float) -> dict[str, float]:
        """Figures of the mode: accuracies in percent, and the share that is done again."""
        again = self.margins() < threshold
        right = [answer.argmax(-1) == self.truth for answer in (self.fast, self.full)]
        return {
            "fast_alone": 100 * float(right[0].mean()),
            "full_alone": 100 * float(right[1].mean()),
            "accuracy": 100 * float(np.where(again, right[1], right[0]).mean()),
            "again": float(again.mean()),
        }


@dataclass(frozen=True)
class FastReport:
    """The fast mode that was learned, and what it does on validation and test."""

    name: str
    mode: FastMode
    validation: Mapping[str, float]  # as FastAnswers.at gives them
    test: Mapping[str, float]
    budgets: Sequence[BudgetLine]

    def __str__(self) -> str:
        return f"{self.name} in fast mode"

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "features": self.mode.features.to_json(),
            "threshold": self.mode.threshold,
            "budgets": [line.to_json() for line in self.budgets],
            "validation": dict(self.validation),
            "test": dict(self.test),
        }


def tune_fast(answers: FastAnswers, features: AudioFeatures, accuracy: float) -> FastMode:
    """The smallest margin threshold that reaches an accuracy on validation, a point estimate.

    Args:
        answers: on validation.
        features: the cheap front end.
        accuracy: in percent, to be above.

    Raises:
        InputError: no threshold reaches it.
    """
    full, fast = (a.argmax(-1) == answers.truth for a in (answers.full, answers.fast))
    nothing = np.zeros(len(full), np.int64)  # is sent
    points = OperatingPoints.of(-answers.margins(), fast, full, nothing)
    reached = np.flatnonzero(100 * points.right > accuracy * len(full))
    if not len(reached):
        best = 100 * points.right.max() / len(full)
        raise InputError(
            f"fast.accuracy {accuracy:g} %: at best {best:.2f} % on validation; lower it or make "
            "the front end less cheap"
        )
    return FastMode(features, -float(points.thresholds[reached[0]]))
