from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_client.cooperation.combine import RULES, CombinationError, combine

TWO_TO_ONE = np.array([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.0, 1.0, 0.0]])


def test_each_rule_by_hand():
    logs = np.log(np.maximum(TWO_TO_ONE, 1e-4)).sum(0)
    assert combine("sum", TWO_TO_ONE) == pytest.approx(np.exp(logs) / np.exp(logs).sum())
    assert combine("mean", TWO_TO_ONE) == pytest.approx([0.4, 0.6, 0])
    assert combine("vote", TWO_TO_ONE) == pytest.approx([2.4 / 4, 1.6 / 4, 0])


def test_the_rules_may_disagree():
    assert [int(combine(rule, TWO_TO_ONE).argmax()) for rule in ("sum", "mean", "vote")] == [
        1,
        1,
        0,
    ]


def test_weights_are_exponents():
    assert combine("weighted", TWO_TO_ONE, [1, 1, 1]) == pytest.approx(combine("sum", TWO_TO_ONE))
    alone = combine("weighted", TWO_TO_ONE, [2, 0, 0])
    squares = np.maximum(TWO_TO_ONE[0], 1e-4) ** 2
    assert alone == pytest.approx(squares / squares.sum())


def test_where_no_model_counts_all_do():
    assert combine("weighted", TWO_TO_ONE, [0, 0, 0]) == pytest.approx(combine("sum", TWO_TO_ONE))


def test_a_tie_of_votes_goes_to_the_surer():
    outputs = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert combine("vote", outputs).argmax() == 0


def test_the_exact_zeros_of_int8_veto_nothing():
    outputs = np.array([[0.0, 1.0], [0.99, 0.01], [0.99, 0.01]])
    assert np.isfinite(combine("sum", outputs)).all()


@given(
    arrays.arrays(
        np.float64, (5, 3, 4), elements=st.floats(0.001, 1, allow_nan=False, allow_infinity=False)
    )
)
def test_all_at_once_is_one_by_one(raw):
    outputs = raw / raw.sum(-1, keepdims=True)
    for rule in RULES:
        weights = [0.5, 1.0, 2.0] if rule == "weighted" else None
        together = combine(rule, outputs, weights)
        assert together.shape == (5, 4)
        assert together.sum(-1) == pytest.approx(np.ones(5))
        for one, output in zip(together, outputs, strict=True):
            assert one == pytest.approx(combine(rule, output, weights))
            # Nobody's answer counts by the place it stands in.
            back = None if weights is None else weights[::-1]
            assert one == pytest.approx(combine(rule, output[::-1], back))


def test_what_cannot_be_combined():
    with pytest.raises(CombinationError, match="no combination 'best'; there are sum, mean"):
        combine("best", TWO_TO_ONE)
    for weights in (None, [1.0]):
        with pytest.raises(CombinationError, match="weights for 3 models"):
            combine("weighted", TWO_TO_ONE, weights)
