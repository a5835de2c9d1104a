"""Where a signed bundle comes from: what stands beside it in the metadata that its signer signs.

The metadata of The Update Framework is signed as canonical JSON, which has no fractions: numbers of
budgets stand in it as the shortest decimal text that reads back as the same number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_client.bundle.manifest import Budget
from edge_client.fields import FieldError, Fields
from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import NAME

MAX_BUDGETS = 100
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,3})?", re.ASCII)


class ProvenanceError(FleetError):
    """What stands beside a bundle does not say where it comes from."""


@dataclass(frozen=True)
class Provenance:
    """Who pushed which version, when, out of which run, and which budgets were proven."""

    model: str
    version: str
    pushed_by: str
    pushed_at: str  # ISO 8601, UTC, such as 2026-11-20T12:00:00Z
    pipeline: str
    run_id: str
    budgets: tuple[Budget, ...]

    def to_custom(self) -> dict[str, Any]:
        """The field ``custom`` of the bundle's target."""
        return {
            "model": self.model,
            "version": self.version,
            "pushed_by": self.pushed_by,
            "pushed_at": self.pushed_at,
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "budgets": [_budget_to_json(budget) for budget in self.budgets],
        }


def parse_custom(value: Any) -> Provenance:
    """Reads the field ``custom`` of a bundle's target; raises :class:`ProvenanceError`."""
    try:
        with Fields(value, "custom") as fields:
            return Provenance(
                model=fields.text("model", NAME),
                version=fields.text("version", NAME),
                pushed_by=fields.text("pushed_by"),
                pushed_at=fields.text("pushed_at", _TIME),
                pipeline=fields.text("pipeline"),
                run_id=fields.text("run_id"),
                budgets=_budgets(fields.mappings("budgets", MAX_BUDGETS)),
            )
    except FieldError as error:
        raise ProvenanceError(str(error)) from None


def _budget_to_json(budget: Budget) -> dict[str, str]:
    return {
        "metric": budget.metric,
        "comparison": budget.comparison,
        "required": repr(float(budget.required)),
        "measured": repr(float(budget.measured)),
        "unit": budget.unit,
    }


def _budgets(parts: Sequence[Fields]) -> tuple[Budget, ...]:
    budgets = []
    for part in parts:
        with part:
            budgets.append(
                Budget(
                    metric=part.text("metric"),
                    comparison="<" if part.choice("comparison", ("<", ">")) == "<" else ">",
                    required=_number(part, "required"),
                    measured=_number(part, "measured"),
                    unit=part.text("unit", shortest=0),
                )
            )
    return tuple(budgets)


def _number(part: Fields, name: str) -> float:
    number = float(part.text(name, _NUMBER, longest=40))
    if not math.isfinite(number):
        raise FieldError(f"{part.where}.{name}: too large for a number")
    return number
