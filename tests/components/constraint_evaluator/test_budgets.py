"""The verdict: strict, in the right direction, one line for each budget."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.constraint_evaluator.budgets import (
    BudgetLine,
    all_met,
    check_budgets,
    verdict,
    worst_miss,
)
from components.errors import InputError

UNITS = {"accuracy": "%", "bytes": "B", "total_ms": "ms", "mae.T": "Cel"}


@pytest.mark.parametrize(
    ("metric", "required", "measured", "met"),
    [
        ("accuracy", 90.0, 90.125, True),
        ("accuracy", 90.0, 90.0, False),
        ("accuracy", 90.0, 89.875, False),
        ("accuracy", 90.0, math.nan, False),
        ("accuracy", 90.0, math.inf, False),
        ("accuracy", 90.0, None, False),
        ("bytes", 25000, 24999, True),
        ("bytes", 25000, 25000, False),
        ("bytes", 25000, 25001, False),
        ("total_ms", 1.5, 0.4, True),
        ("total_ms", 1.5, 1.5, False),
        ("total_ms", 1.5, math.nan, False),
        ("mae.T", 0.5, math.nextafter(0.5, 0), True),
        ("mae.T", 0.5, 0.5, False),
        ("mae.T", 0.5, math.nextafter(0.5, 1), False),
        ("mae.T", 0.5, -math.inf, False),
    ],
)
def test_verdict_is_strict(metric: str, required: float, measured: float | None, met: bool) -> None:
    (line,) = verdict({metric: required}, {metric: measured}, UNITS)
    assert line.met is met
    assert str(line).endswith(", met" if met else ", missed")
    assert line.to_json()["met"] is met


def test_missing_measurement_misses() -> None:
    (line,) = verdict({"total_ms": 40}, {"bytes": 3}, UNITS)
    assert not line.met
    assert line.relative_miss == math.inf
    assert str(line) == "total_ms: required < 40 ms, measured no number, missed"


def test_lines_read_well_and_keep_the_stated_order() -> None:
    lines = verdict({"bytes": 25000, "accuracy": 90}, {"accuracy": 95.75, "bytes": 26000}, UNITS)
    assert [str(line) for line in lines] == [
        "bytes: required < 25000 B, measured 26000 B, margin -1000 B, missed",
        "accuracy: required > 90 %, measured 95.75 %, margin +5.75 %, met",
    ]
    assert worst_miss(lines) == pytest.approx(0.04)
    assert not all_met(lines)


@given(
    comparison=st.sampled_from("<>"),
    required=st.floats(1e-6, 1e9),
    measured=st.floats(-1e9, 1e9),
)
def test_met_exactly_when_there_is_margin(
    comparison: str, required: float, measured: float
) -> None:
    line = BudgetLine("m", comparison, required, measured, "")
    strictly = measured > required if comparison == ">" else measured < required
    assert line.met is strictly
    assert line.margin is not None
    assert (line.margin > 0) is strictly
    assert line.relative_miss >= 0
    assert not (strictly and line.relative_miss)


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ({}, "kws-a: budgets is empty"),
        ({"acuracy": 90}, "budgets.acuracy is not measured; known metrics are accuracy"),
        ({"mae.RH": 1}, "budgets.mae.RH is not measured"),
        ({"bytes": "25 kB"}, "budgets.bytes is '25 kB'; it must be a number"),
        ({"bytes": True}, "budgets.bytes is True; it must be a number"),
        ({"bytes": None}, "budgets.bytes is None; it must be a number"),
        ({"bytes": math.nan}, "must be a finite number above 0"),
        ({"bytes": 0}, "must be a finite number above 0"),
        ({"total_ms": -3}, "must be a finite number above 0"),
        ({"accuracy": 100}, "no accuracy is above 100 %"),
    ],
)
def test_impossible_budgets_are_refused(budgets: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        check_budgets(budgets, UNITS, "kws-a")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_possible_budgets_pass() -> None:
    check_budgets({"accuracy": 90, "bytes": 25000, "mae.T": 0.5}, UNITS, "kws-a")
