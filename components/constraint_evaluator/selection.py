"""Which candidate goes to the test split, decided on validation alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.constraint_evaluator.budgets import BudgetLine, all_met, worst_miss


@dataclass(frozen=True)
class Contender:
    """What selection knows of a candidate: nothing of the test split."""

    recipe: str
    lines: tuple[BudgetLine, ...]  # budgets against bytes, latency and the validation figures
    merit: float  # the deciding validation figure; more is better, NaN is worst
    bytes: int


def choose(contenders: Sequence[Contender]) -> Contender:
    """The best contender on validation among those that meet every budget there.

    Ties go to the smaller file, then to the name, so that the choice is always the same. Where
    nobody meets every budget, it is the nearest: the one whose worst relative miss is smallest.

    Raises:
        ValueError: there are no contenders.
    """

    def rank(contender: Contender) -> tuple[bool, float, float, int, str]:
        merit = -math.inf if math.isnan(contender.merit) else contender.merit
        return (
            not all_met(contender.lines),
            worst_miss(contender.lines),
            -merit,
            contender.bytes,
            contender.recipe,
        )

    return min(contenders, key=rank)
