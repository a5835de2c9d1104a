"""One answer out of several models'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_client.cooperation.rules import RULES as RULES
from edge_client.deferral.policies import log_scores, softmax
from edge_client.errors import EdgeError

Float64 = npt.NDArray[np.float64]
Scores = npt.NDArray[np.floating[Any]]


class CombinationError(EdgeError):
    """A rule that is unknown, or lacks its weights."""


def combine(rule: str, outputs: Scores, weights: Sequence[float] | None = None) -> Float64:
    """What several models say together.

    - ``sum``: the softmax of the sum of log-probabilities, which are the logits up to a constant
      (product of experts; J. Kittler and others, On combining classifiers, 1998, equation 8 with
      equal priors); probabilities below 1e-4 are taken as 1e-4, so that none vetoes alone;
    - ``weighted``: the same with a weight for each model, equal ones where all are 0;
    - ``mean``: the mean of the probabilities (Kittler's sum rule);
    - ``vote``: a vote for the likeliest label each, ties broken by the mean:
      (votes + mean) / (models + 1).

    Args:
        rule: one of :data:`RULES`.
        outputs: ``[..., models, labels]`` probabilities, labels in the same order.
        weights: ``[models]``, 0 or more, for ``weighted`` only.

    Returns:
        ``[..., labels]`` probabilities.

    Raises:
        CombinationError: no such rule, or not one weight for each model.
    """
    values = np.asarray(outputs, np.float64)
    if rule == "weighted":
        if weights is None or len(weights) != values.shape[-2]:
            raise CombinationError(
                f"combination weighted: {len(weights or ())} weights for {values.shape[-2]} models"
            )
        factors = np.asarray(weights, np.float64)[:, np.newaxis]
        if not factors.any():  # only models that were found to help nobody answered
            factors = np.ones_like(factors)
        return softmax((factors * log_scores(values)).sum(axis=-2))
    if rule not in _PLAIN:
        raise CombinationError(f"no combination {rule!r}; there are {', '.join(RULES)}")
    return _PLAIN[rule](values)


def _sum(values: Float64) -> Float64:
    return softmax(log_scores(values).sum(axis=-2))


def _mean(values: Float64) -> Float64:
    # Rounding to int8 leaves sums a little off 1.
    mean = values.mean(axis=-2)
    return np.asarray(mean / mean.sum(axis=-1, keepdims=True))


def _vote(values: Float64) -> Float64:
    models, labels = values.shape[-2:]
    votes = np.eye(labels)[values.argmax(axis=-1)].sum(axis=-2)
    return np.asarray((votes + _mean(values)) / (models + 1))


_PLAIN: dict[str, Callable[[Float64], Float64]] = {"sum": _sum, "mean": _mean, "vote": _vote}
