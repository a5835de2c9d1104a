"""What the DeferralTuner found, as other programs read it: ``curve.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.constraint_evaluator.budgets import BudgetLine
from components.constraint_evaluator.report import Figure
from components.deferral.curve import (
    Curve,
    area_gained,
    auroc,
    curve,
    oracle_bound,
    random_bound,
)
from components.deferral.pair import Bools, Pair
from edge_client.bundle import Deferral
from edge_client.deferral.policies import doubts
from edge_client.wilson import wilson

Float64 = npt.NDArray[np.float64]


def accuracy_of(right: Bools) -> Figure:
    """Percent of ``[n]`` verdicts, with Wilson's 95 % interval."""
    low, high = wilson(int(right.sum()), len(right))
    return Figure.of(100 * float(right.mean()), (100 * low, 100 * high))


@dataclass(frozen=True)
class PolicyReport:
    """One policy on one split: at its threshold, and at all others."""

    threshold: float
    accuracy: Figure  # of both models together
    share: float  # of clips asked for, 0 to 1
    megabytes: float  # of request bodies, 2^20 bytes
    area: float | None  # gained between random (0) and oracle (1)
    auroc: float | None  # of "the small model is wrong" by the policy's doubt
    curve: Curve


@dataclass(frozen=True)
class SplitReport:
    """Both models on one split."""

    clips: int
    little: Figure
    big: Figure
    policies: Mapping[str, PolicyReport]
    random: Curve
    oracle: Curve

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "clips": self.clips,
            "little": vars(self.little),
            "big": vars(self.big),
            "policies": {
                name: {
                    **vars(policy),
                    "accuracy": vars(policy.accuracy),
                    "curve": policy.curve.to_json(),
                }
                for name, policy in self.policies.items()
            },
            "random": self.random.to_json(),
            "oracle": self.oracle.to_json(),
        }


def split_report(
    pair: Pair, deferral: Deferral, known: Mapping[str, Float64] | None = None
) -> SplitReport:
    """Every policy that has a threshold, on one split.

    Args:
        pair: the answers on that split.
        deferral: what was learned on validation.
        known: doubts by policy where they are not to be computed, such as cross-validated ones.
    """
    known = known or {p: doubts(p, pair.little, deferral) for p in deferral.thresholds}
    kept, fused = pair.little_right(), pair.fused_right(deferral.fusion)
    policies = {}
    for policy, threshold in deferral.thresholds.items():
        asked = known[policy] > threshold
        drawn = curve(known[policy], pair, deferral.fusion)
        policies[policy] = PolicyReport(
            threshold=threshold,
            accuracy=accuracy_of(np.where(asked, fused, kept)),
            share=float(asked.mean()),
            megabytes=float(pair.request_bytes[asked].sum() / 2**20),
            area=area_gained(drawn, pair, deferral.fusion),
            auroc=auroc(known[policy], ~kept),
            curve=drawn,
        )
    return SplitReport(
        clips=len(kept),
        little=accuracy_of(kept),
        big=accuracy_of(pair.big_right()),
        policies=policies,
        random=random_bound(pair, deferral.fusion),
        oracle=oracle_bound(pair, deferral.fusion),
    )


@dataclass(frozen=True)
class DeferralReport:
    """All of it: what was learned, and what it does on validation and test."""

    name: str
    big: str
    run: str
    payload: str
    deferral: Deferral
    validation: SplitReport
    test: SplitReport
    budgets: Sequence[BudgetLine]

    def __str__(self) -> str:
        return f"{self.name} with {self.big}"

    @property
    def system(self) -> PolicyReport:
        """The chosen policy on test."""
        return self.test.policies[self.deferral.policy]

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, with which system the verdict is about on top."""
        return {
            "name": self.name,
            "big": self.big,
            "run": self.run,
            "payload": self.payload,
            "deferral": self.deferral.to_json(),
            "budgets": [line.to_json() for line in self.budgets],
            "validation": self.validation.to_json(),
            "test": self.test.to_json(),
        }
