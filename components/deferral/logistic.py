"""Logistic regression with an L2 penalty, and its predictions for what it was not fitted on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FOLDS = 5
_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # of the penalty


def fit_logistic(seen: Float64, answers: Bools, strength: float) -> tuple[Float64, float]:
    """Weights and bias whose ``expit(seen @ weights + bias)`` is the chance of ``answers``.

    The penalty is on the weights of standardised columns, so that it knows no units; the bias is
    free of it.

    Args:
        seen: ``[n, k]``.
        answers: ``[n]``, of both kinds.
        strength: of the penalty, beside the mean negative log-likelihood.

    Returns:
        ``[k]`` weights for ``seen`` as it is, and the bias.
    """
    mean, std = seen.mean(0), seen.std(0)
    std = np.where(std > 0, std, 1.0)
    columns = (seen - mean) / std
    signs = np.where(answers, 1.0, -1.0)

    def loss(x: Float64) -> tuple[float, Float64]:
        weights = x[:-1]
        margin = signs * (columns @ weights + x[-1])
        slope = -signs * expit(-margin) / len(signs)
        gradient = np.append(columns.T @ slope + strength * weights, slope.sum())
        return float(-log_expit(margin).mean() + strength * (weights @ weights) / 2), gradient

    x = minimize(loss, np.zeros(seen.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weights = x[:-1] / std
    return weights, float(x[-1] - weights @ mean)


def cross_validated(seen: Float64, answers: Bools) -> tuple[float, Float64]:
    """The strength that predicts best what was left out, and those predictions.

    Args:
        seen: ``[n, k]``.
        answers: ``[n]``, at least :data:`FOLDS` of each kind.

    Returns:
        The strength, and ``[n]`` chances, each from a fit without its own fold.
    """
    folds = _folds(answers)
    best_loss, best = np.inf, (_STRENGTHS[-1], np.zeros(len(answers)))
    for strength in _STRENGTHS:
        chances = np.empty(len(answers))
        for fold in range(FOLDS):
            held_out = folds == fold
            weights, bias = fit_logistic(seen[~held_out], answers[~held_out], strength)
            chances[held_out] = expit(seen[held_out] @ weights + bias)
        likelihood = np.where(answers, chances, 1 - chances)
        loss = -np.log(np.maximum(likelihood, np.finfo(float).tiny)).mean()
        if loss < best_loss:
            best_loss, best = loss, (strength, chances)
    return best


def _folds(answers: Bools) -> npt.NDArray[np.int64]:
    """A fold for each, both kinds dealt out evenly."""
    folds = np.empty(len(answers), np.int64)
    for kind in (False, True):
        (places,) = np.nonzero(answers == kind)
        folds[places] = np.arange(len(places)) % FOLDS
    return folds
