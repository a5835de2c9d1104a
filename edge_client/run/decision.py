"""Whether to ask a second model about a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_client.bundle.manifest import Deferral, FastMode
from edge_client.deferral.policies import POLICIES, PolicyError, Scores, doubts
from edge_client.errors import EdgeError


@dataclass(frozen=True)
class Decision:
    """A policy and its threshold."""

    policy: str
    threshold: float  # of the doubt, ...
    deferral: Deferral | None
    of_margin: bool = False  # ... or of the margin itself, below which it asks

    def asks(self, scores: Scores) -> bool:
        """Whether ``[labels]`` scores are too doubtful to stand."""
        limit = 1 - self.threshold if self.of_margin else self.threshold
        return bool(doubts(self.policy, scores, self.deferral) > limit)


def big_decision(
    deferral: Deferral | None, policy: str | None, threshold: float | None, labels: int, name: str
) -> Decision:
    """What was asked for on top of what the bundle chose.

    Args:
        deferral: of the bundle.
        policy: instead of the bundle's.
        threshold: instead of the bundle's for that policy.
        labels: how many there are.
        name: what error messages call the bundle.

    Raises:
        EdgeError: neither the bundle nor the caller says which policy, or with which threshold,
            or the bundle carries nothing for that policy.
    """
    if policy is None:
        if deferral is None:
            raise EdgeError(
                f"{name}: it carries no deferral; choose a --policy ({', '.join(POLICIES)}) and "
                "a --threshold"
            )
        policy = deferral.policy
    if policy in ("never", "always"):
        threshold = 0.0
    elif threshold is None:
        known = deferral.thresholds if deferral is not None else {}
        if policy not in known:
            raise EdgeError(f"{name}: it carries no threshold for {policy}; give a --threshold")
        threshold = known[policy]
    try:
        doubts(policy, np.full(labels, 1 / labels), deferral)
    except PolicyError as error:
        raise EdgeError(f"{name}: {error}") from None
    return Decision(policy, threshold, deferral)


def fast_decision(fast: FastMode, threshold: float | None) -> Decision:
    """That of fast/slow mode, whose threshold is of the margin itself: below it, again."""
    margin = fast.threshold if threshold is None else threshold
    return Decision("margin", margin, None, of_margin=True)
