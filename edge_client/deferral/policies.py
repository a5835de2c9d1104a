"""How doubtful an answer of the small model is: one number from its scores, by several rules.

Used on the device, clip by clip, and where thresholds are chosen, on whole splits at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_client.errors import EdgeError

if TYPE_CHECKING:
    from edge_client.bundle.manifest import Deferral

Float64 = npt.NDArray[np.float64]
Scores = npt.NDArray[np.floating[Any]]

POLICIES = ("never", "always", "margin", "entropy", "temperature", "learned")
LEARNED_FEATURES = 2  # numbers of phi for each label
# The softmax of an int8 model gives exact zeros; the least it can tell from zero is 1/256.
SMALLEST = 1e-4


class PolicyError(EdgeError):
    """A policy that is unknown, or that needs what the bundle does not carry."""


def doubts(policy: str, scores: Scores, deferral: Deferral | None) -> Float64:
    """How doubtful each answer is; the big model is asked where this is above the threshold.

    - ``never``: minus infinity; ``always``: infinity;
    - ``margin``: 1 minus the difference of the two best scores;
    - ``entropy``: Shannon's, as a share of the largest possible one, ln(labels);
    - ``temperature``: 1 minus the margin of softmax(ln(scores) / T), T from the bundle
      (C. Guo and others, On calibration of modern neural networks, 2017, section 4.2);
    - ``learned``: a logistic regression over :func:`phi`, fitted on validation answers and
      carried in the bundle.

    Args:
        policy: one of :data:`POLICIES`.
        scores: ``[..., labels]`` probabilities, as the model gives them.
        deferral: what the bundle carries; only the last two policies need it.

    Returns:
        ``[...]``, higher for more doubtful.

    Raises:
        PolicyError: no such policy, or the bundle carries nothing for it.
    """
    if policy not in POLICIES:
        raise PolicyError(f"no policy {policy!r}; there are {', '.join(POLICIES)}")
    values = np.asarray(scores, np.float64)
    if policy in ("never", "always"):
        return np.full(values.shape[:-1], np.inf if policy == "always" else -np.inf)
    if policy in _OF_SCORES:
        return _OF_SCORES[policy](values)
    if deferral is None:
        raise PolicyError(f"policy {policy}: the bundle carries no deferral; choose margin")
    if policy == "temperature":
        return _margin(softmax(log_scores(values) / deferral.temperature))
    if deferral.learned is None:
        raise PolicyError("policy learned: the bundle carries no learned weights; choose margin")
    logit = phi(values) @ np.asarray(deferral.learned.weights) + deferral.learned.bias
    return np.asarray(0.5 * (1 + np.tanh(logit / 2)))  # the logistic function, free of overflow


def phi(scores: Scores) -> Float64:
    """What the learned policy sees of ``[..., labels]`` scores: ``[..., 2 * labels]``.

    Their logarithms in the order of the labels (which words get confused), then the same from
    the largest to the smallest (how clear the answer is, whatever the word).
    """
    logs = log_scores(scores)
    return np.concatenate([logs, -np.sort(-logs, axis=-1)], axis=-1)


def log_scores(scores: Scores) -> Float64:
    """Natural logarithms of scores, those below 1e-4 taken as 1e-4."""
    return np.log(np.maximum(np.asarray(scores, np.float64), SMALLEST))


def softmax(logits: Float64) -> Float64:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _margin(values: Float64) -> Float64:
    best = np.partition(values, -2, axis=-1)
    return np.asarray(1 - (best[..., -1] - best[..., -2]))


def _entropy(values: Float64) -> Float64:
    # Rounding to int8 leaves sums a little off 1; 0 ln 0 is 0.
    shares = np.maximum(values, 0)
    shares = shares / np.maximum(shares.sum(axis=-1, keepdims=True), SMALLEST)
    logs = np.log(np.where(shares > 0, shares, 1))
    return np.asarray(-(shares * logs).sum(axis=-1) / np.log(values.shape[-1]))


_OF_SCORES: dict[str, Callable[[Float64], Float64]] = {"margin": _margin, "entropy": _entropy}
