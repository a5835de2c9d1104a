"""One answer out of the small model's and the big one's."""

from __future__ import annotations

from edge_client.deferral.policies import Float64, Scores, log_scores, softmax


def fused(little_scores: Scores, big_scores: Scores, weight: float) -> Float64:
    """Probabilities proportional to ``exp(ln p_big + weight * ln p_little)``.

    A product of experts (G. Hinton, Neural Computation 14 (2002), 1771-1800): what the small
    model nearly excluded stays unlikely.  Scores below 1e-4 are taken as 1e-4.

    Args:
        little_scores: ``[..., labels]`` probabilities of the small model.
        big_scores: the same of the big model, labels in the same order.
        weight: of the small model, 0 or more; with 0 the big model decides alone.

    Returns:
        ``[..., labels]`` probabilities.
    """
    return softmax(log_scores(big_scores) + weight * log_scores(little_scores))
