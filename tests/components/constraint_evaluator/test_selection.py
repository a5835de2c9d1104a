"""Selection on validation: meets before misses, then the figure, then the smaller file."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.constraint_evaluator.budgets import all_met, verdict, worst_miss
from components.constraint_evaluator.selection import Contender, choose

UNITS = {"accuracy": "%", "bytes": "B", "total_ms": "ms"}
BUDGETS = {"accuracy": 90.0, "bytes": 25000.0, "total_ms": 1.5}


def contender(recipe: str, accuracy: float, size: int, total_ms: float = 1.0) -> Contender:
    measured = {"accuracy": accuracy, "bytes": size, "total_ms": total_ms}
    return Contender(recipe, verdict(BUDGETS, measured, UNITS), accuracy, size)


contenders = st.lists(
    st.builds(
        contender,
        st.text("abc", min_size=1, max_size=4),
        st.floats(0, 100) | st.just(math.nan) | st.sampled_from([90.0, 95.0]),
        st.integers(1, 50000) | st.sampled_from([20000, 25000]),
        st.floats(0.01, 5) | st.just(1.5),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda c: c.recipe,
)


@given(contenders)
def test_nobody_beats_the_chosen(everybody: list[Contender]) -> None:
    chosen = choose(everybody)
    meeting = [c for c in everybody if all_met(c.lines)]
    if meeting:
        assert chosen in meeting
        assert chosen.merit == max(c.merit for c in meeting)
        equals = [c for c in meeting if c.merit == chosen.merit]
        assert chosen.bytes == min(c.bytes for c in equals)
    else:
        assert worst_miss(chosen.lines) == min(worst_miss(c.lines) for c in everybody)


@given(contenders, st.randoms(use_true_random=False))
def test_order_does_not_matter(everybody: list[Contender], random: object) -> None:
    shuffled = list(everybody)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(shuffled) == choose(everybody)


@given(contenders)
def test_one_that_misses_never_displaces_one_that_meets(everybody: list[Contender]) -> None:
    huge = contender("zz", 99.9, 10**6)
    before, after = choose(everybody), choose([*everybody, huge])
    if all_met(before.lines):
        assert after == before


@pytest.mark.parametrize(
    ("everybody", "expected"),
    [
        ([contender("a", 95, 20000), contender("b", 96, 24000)], "b"),
        ([contender("a", 95, 20000), contender("b", 95, 19000)], "b"),
        ([contender("b", 95, 20000), contender("a", 95, 20000)], "a"),
        ([contender("a", 97, 25000), contender("b", 91, 24000)], "b"),
        ([contender("a", 97, 20000, 1.5), contender("b", 91, 24000)], "b"),
        ([contender("a", math.nan, 100), contender("b", 50, 24000)], "b"),
        ([contender("near", 89.5, 20000), contender("far", 96, 50000)], "near"),
    ],
)
def test_examples(everybody: list[Contender], expected: str) -> None:
    assert choose(everybody).recipe == expected
