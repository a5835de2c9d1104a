"""Which combination of several models is best, and how much each of them weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import binomtest

from components.constraint_evaluator.report import Figure
from edge_client.cooperation.combine import RULES, combine
from edge_client.deferral.policies import log_scores
from edge_client.wilson import wilson

Float32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_MOST_WEIGHT = 100.0
_CHANCE = 0.05  # that a rule is taken for better which is not
_FOLDS = 10


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
    """The plain sum, unless another combination surely is better and bears a silent member as well.

    Validation decides between them by a handful of clips. So another one must win against the sum
    by the exact test of the clips on which they differ (Q. McNemar, Note on the sampling error of
    the difference between correlated proportions, 1947), at 5 % for all of them together, the
    weighted sum with weights fitted to other clips; and with any one member silent it must not do
    worse than the sum at its worst.

    Args:
        outputs: ``[n, members, labels]`` probabilities.
        truth: ``[n]`` indices of the right labels.
        weights: of the members, for the weighted sum.
    """
    plain, *others = RULES
    everybody = list(range(outputs.shape[1]))
    ours = _right(plain, outputs, truth, weights, everybody)
    floor = _at_worst(plain, outputs, truth, weights)
    chances = {}
    for rule in others:
        if rule == "weighted":
            theirs = _held_out(outputs, truth)
        else:
            theirs = _right(rule, outputs, truth, weights, everybody)
        wins, losses = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
        if wins > losses and _at_worst(rule, outputs, truth, weights) >= floor:
            chances[rule] = binomtest(wins, wins + losses, alternative="greater").pvalue
    best = min(chances, key=lambda rule: chances[rule], default=plain)
    return best if best != plain and chances[best] < _CHANCE / len(others) else plain


def _at_worst(rule: str, outputs: Float32, truth: Ints, weights: Sequence[float]) -> float:
    """Accuracy with the member silent that is missed most."""
    everybody = range(outputs.shape[1])
    return min(
        float(_right(rule, outputs, truth, weights, [m for m in everybody if m != silent]).mean())
        for silent in everybody
    )


def _held_out(outputs: Float32, truth: Ints) -> npt.NDArray[np.bool_]:
    """What the weighted sum gets right with weights fitted to the other clips."""
    fold = np.arange(len(truth)) % _FOLDS
    everybody = list(range(outputs.shape[1]))
    right = np.zeros(len(truth), bool)
    for number in range(_FOLDS):
        held, kept = fold == number, fold != number
        weights = fit_weights(outputs[kept], truth[kept])
        right[held] = _right("weighted", outputs[held], truth[held], weights, everybody)
    return right


def _right(
    rule: str, outputs: Float32, truth: Ints, weights: Sequence[float], members: Sequence[int]
) -> npt.NDArray[np.bool_]:
    chosen = [weights[m] for m in members] if rule == "weighted" else None
    together = combine(rule, outputs[:, list(members)], chosen)
    return np.asarray(together.argmax(-1) == truth)
