"""Budgets against measurements: strict comparisons, one line for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.errors import InputError
from edge_client.features.spec import Quantity

HIGHER_IS_BETTER = ("accuracy",)
_COSTS = {"bytes": "B", "features_ms": "ms", "inference_ms": "ms", "total_ms": "ms"}


@dataclass(frozen=True)
class BudgetLine:
    """One budget and what was measured for it.

    ``measured`` is None where there is no number to compare (NaN, infinite), which misses.
    ``measured_on`` names the machine where devices were asked as well; else it is empty.
    """

    metric: str
    comparison: str  # ">" or "<"; a measurement equal to the bound misses
    required: float
    measured: float | None
    unit: str
    measured_on: str = ""

    @property
    def met(self) -> bool:
        """Whether the measurement keeps the bound, strictly."""
        return self.measured is not None and self._slack > 0

    @property
    def margin(self) -> float | None:
        """Room left, in the metric's unit; zero or negative where the budget is missed."""
        return None if self.measured is None else self._slack

    @property
    def relative_miss(self) -> float:
        """Share of the bound by which it is missed: 0 where it is met, or met exactly."""
        if self.measured is None:
            return math.inf
        return max(0.0, -self._slack / self.required)

    @property
    def _slack(self) -> float:
        if self.measured is None:
            return -math.inf
        over = self.measured - self.required
        return over if self.comparison == ">" else -over

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        required = f"{self.metric}: required {self.comparison} {number(self.required)}{unit}"
        if self.margin is None:
            return f"{required}, measured no number, missed"
        verdict = "met" if self.met else "missed"
        place = f" on {self.measured_on}" if self.measured_on else ""
        return (
            f"{required}, measured {number(self.measured)}{unit}{place}, "
            f"margin {'-' if self.margin < 0 else '+'}{number(abs(self.margin))}{unit}, {verdict}"
        )

    def to_json(self) -> dict[str, Any]:
        """The fields, with margin and verdict for readers without this code."""
        return {**asdict(self), "margin": self.margin, "met": self.met}


def number(value: float | None) -> str:
    """A measurement as people read it: whole numbers whole, others to five digits."""
    if value is None:
        return "no number"
    if float(value).is_integer() and abs(value) < 1e12:
        return f"{int(value)}"
    return f"{value:.5g}"


def metric_units(quantities: Sequence[Quantity] = ()) -> dict[str, str]:
    """The metrics a budget can bound, with their units.

    Args:
        quantities: of a forecaster; keyword spotting has none.
    """
    if not quantities:
        return {"accuracy": "%", **_COSTS}
    return {
        **{f"mae.{quantity.name}": quantity.unit for quantity in quantities},
        **{f"mae_over_persistence.{quantity.name}": "x" for quantity in quantities},
        **_COSTS,
    }


def budgets_fault(budgets: Mapping[str, Any], units: Mapping[str, str]) -> str | None:
    """What is wrong with budgets that cannot be measured or kept; None where nothing is.

    Args:
        budgets: metric to bound.
        units: the metrics this task has, with their units.
    """
    for metric, bound in budgets.items():
        place = f"budgets.{metric}"
        if metric not in units:
            return f"{place} is not measured; known metrics are {', '.join(units)}"
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            return f"{place} is {bound!r}; it must be a number"
        if not (math.isfinite(bound) and bound > 0):
            return f"{place} is {bound}; it must be a finite number above 0"
        if metric == "accuracy" and bound >= 100:
            return f"{place} is {bound}; no accuracy is above 100 %"
    return None


def check_budgets(budgets: Mapping[str, Any], units: Mapping[str, str], where: str) -> None:
    """Refuses budgets that cannot be measured or kept, and none at all.

    Args:
        budgets: metric to bound.
        units: the metrics this task has, with their units.
        where: the version's name, for the message.

    Raises:
        InputError: no budget at all, an unknown metric, or a bound that is no positive number.
    """
    if not budgets:
        raise InputError(f"{where}: budgets is empty; state at least one of {', '.join(units)}")
    fault = budgets_fault(budgets, units)
    if fault is not None:
        raise InputError(f"{where}: {fault}")


def verdict(
    budgets: Mapping[str, float],
    measured: Mapping[str, float | None],
    units: Mapping[str, str],
    measured_on: Mapping[str, str] | None = None,
) -> tuple[BudgetLine, ...]:
    """One line for each budget, in the order they were stated.

    Args:
        budgets: metric to bound.
        measured: by metric.
        units: by metric.
        measured_on: the machine, by metric, where that is told at all.
    """
    lines = []
    for metric, bound in budgets.items():
        value = measured.get(metric)
        if value is not None and not math.isfinite(value):
            value = None
        comparison = ">" if metric in HIGHER_IS_BETTER else "<"
        place = (measured_on or {}).get(metric, "")
        lines.append(BudgetLine(metric, comparison, float(bound), value, units[metric], place))
    return tuple(lines)


def all_met(lines: Sequence[BudgetLine]) -> bool:
    """Whether every line is met."""
    return all(line.met for line in lines)


def worst_miss(lines: Sequence[BudgetLine]) -> float:
    """The largest relative miss of the lines."""
    return max((line.relative_miss for line in lines), default=0.0)
