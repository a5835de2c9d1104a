"""Which combination of several models is best, and how much each of them weighs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from components.constraint_evaluator.report import Figure
from edge_client.cooperation.combine import RULES, combine
from edge_client.deferral.policies import log_scores
from edge_client.wilson import wilson

Float32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_MOST_WEIGHT = 100.0
_CONFIDENT = 1.645  # standard errors, of 95 % on one side


@dataclass(frozen=True)
class RuleReport:
    """One combination on one split."""

    accuracy: Figure  # in percent, of all members
    without: Mapping[str, float]  # in percent, by the member that is silent

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {"accuracy": vars(self.accuracy), "without": dict(self.without)}


def fit_weights(outputs: Float32, truth: Ints) -> tuple[float, ...]:
    """The weights for which the weighted sum gives the right labels the highest likelihood.

    Logistic regression without bias over the members' log-probabilities (logarithmic opinion pool;
    T. Heskes, Selecting weighting factors in logarithmic opinion pools, 1998).

    Args:
        outputs: ``[n, members, labels]`` probabilities.
        truth: ``[n]`` indices of the right labels.

    Returns:
        A weight for each member, 0 or more, at least one above.
    """
    logs = log_scores(outputs)
    members = logs.shape[1]
    clips = np.arange(len(truth))

    def surprise(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        likelihoods = log_softmax(np.einsum("nml,m->nl", logs, weights), axis=-1)
        expected = np.einsum("nml,nl->m", logs, np.exp(likelihoods))
        gradient = (expected - logs[clips, :, truth].sum(0)) / len(truth)
        return -float(likelihoods[clips, truth].mean()), gradient

    even = np.full(members, 1 / members)
    found = minimize(
        surprise, even, jac=True, method="L-BFGS-B", bounds=[(0, _MOST_WEIGHT)] * members
    ).x
    return tuple(map(float, found if found.any() else even))


def rule_reports(
    names: Sequence[str], outputs: Float32, truth: Ints, weights: Sequence[float]
) -> dict[str, RuleReport]:
    """Every combination, of all members and of all but each one.

    Args:
        names: of the members.
        outputs: ``[n, members, labels]`` probabilities.
        truth: ``[n]`` indices of the right labels.
        weights: of the members, for the weighted sum.
    """
    everybody = list(range(len(names)))
    reports = {}
    for rule in RULES:
        right = _right(rule, outputs, truth, weights, everybody)
        low, high = wilson(int(right.sum()), len(right))
        without = {
            name: 100
            * float(_right(rule, outputs, truth, weights, [m for m in everybody if m != i]).mean())
            for i, name in enumerate(names)
        }
        figure = Figure.of(100 * float(right.mean()), (100 * low, 100 * high))
        reports[rule] = RuleReport(figure, without)
    return reports


def best_rule(outputs: Float32, truth: Ints, weights: Sequence[float]) -> str:
    """The plain sum, unless another combination is better by more than chance.

    A handful of clips decides between combinations, and the weights were fitted to these very
    clips: another one must win against the sum with 95 % confidence, by the standard error of
    their paired difference.

    Args:
        outputs: ``[n, members, labels]`` probabilities.
        truth: ``[n]`` indices of the right labels.
        weights: of the members, for the weighted sum.
    """
    everybody = list(range(outputs.shape[1]))
    plain, *others = RULES
    right = {rule: _right(rule, outputs, truth, weights, everybody) for rule in RULES}

    def gain(rule: str) -> float:
        difference = np.subtract(right[rule], right[plain], dtype=np.float64)
        return float(difference.mean() - _CONFIDENT * difference.std() / math.sqrt(len(truth)))

    best = max(others, key=gain)
    return best if gain(best) > 0 else plain


def _right(
    rule: str, outputs: Float32, truth: Ints, weights: Sequence[float], members: Sequence[int]
) -> npt.NDArray[np.bool_]:
    chosen = [weights[m] for m in members] if rule == "weighted" else None
    together = combine(rule, outputs[:, list(members)], chosen)
    return np.asarray(together.argmax(-1) == truth)
