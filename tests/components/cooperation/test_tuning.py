"""Weights go to whoever knows, and the sum stays plain unless another rule surely is better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from components.cooperation.tuning import best_rule, fit_weights, rule_reports

CLIPS = 2000


def heard(*knowledge: float) -> tuple[np.ndarray, np.ndarray]:
    """``[n, members, 4]`` probabilities of members that know so much, each by itself."""
    rng = np.random.default_rng(5)
    truth = rng.integers(4, size=CLIPS)
    right = np.eye(4)[truth]
    logits = [k * right + rng.normal(0, 1, right.shape) for k in knowledge]
    return softmax(np.stack(logits, 1), axis=-1).astype(np.float32), truth


def test_weights_are_found_again() -> None:
    # Of normal noise of one deviation the log-likelihood ratio is the knowledge times the logit.
    outputs, truth = heard(1.0, 3.0, 0.0)
    assert fit_weights(outputs, truth) == pytest.approx((1.0, 3.0, 0.0), abs=0.2)


def test_contrary_members_weigh_nothing_and_never_all_of_them() -> None:
    outputs, truth = heard(2.0, -2.0)
    first, second = fit_weights(outputs, truth)
    assert first > 1 and second == 0
    outputs, truth = heard(-2.0, -2.0)
    assert any(fit_weights(outputs, truth))


def test_together_they_err_less_and_who_is_missed_most_knows_most() -> None:
    outputs, truth = heard(1.0, 3.0, 0.5)
    alone = 100 * (outputs[:, 1].argmax(-1) == truth).mean()
    reports = rule_reports(["a", "b", "c"], outputs, truth, fit_weights(outputs, truth))
    assert set(reports) == {"sum", "mean", "vote", "weighted"}
    assert best_rule(outputs, truth, fit_weights(outputs, truth)) == "weighted"
    weighted = reports["weighted"]
    assert weighted.accuracy.value > alone
    assert weighted.accuracy.low < weighted.accuracy.value < weighted.accuracy.high
    assert min(weighted.without, key=weighted.without.get) == "b"


def test_without_a_clear_winner_it_is_the_plain_sum() -> None:
    outputs, truth = (each[:200] for each in heard(2.0, 2.0, 2.0))
    weights = fit_weights(outputs, truth)
    reports = rule_reports(["a", "b", "c"], outputs, truth, weights)
    # Its weights were fitted to these clips, on which it is one ahead.
    assert reports["weighted"].accuracy.value > reports["sum"].accuracy.value
    assert best_rule(outputs, truth, weights) == "sum"


def test_a_member_that_guesses_loudly_is_outweighed() -> None:
    outputs, truth = heard(4.0)
    outputs = np.concatenate([outputs, loud_noise(outputs)], axis=1)
    weights = fit_weights(outputs, truth)
    assert weights[1] < 0.05 * weights[0]
    assert best_rule(outputs, truth, weights) == "weighted"


def test_weights_under_which_a_silent_member_costs_more_are_not_taken() -> None:
    outputs, truth = heard(4.0, 0.5)
    knows = np.log(outputs[:, :1])
    # A copy with noise of its own tells nothing new beside the one who knows, but without him.
    copy = softmax(2 * knows + 3 * np.log(loud_noise(outputs)) / 8, axis=-1)
    outputs = np.concatenate([outputs, copy.astype(np.float32)], axis=1)
    weights = fit_weights(outputs, truth)
    reports = rule_reports(["knows", "little", "copies"], outputs, truth, weights)
    assert reports["weighted"].accuracy.value > reports["sum"].accuracy.value + 1
    assert reports["weighted"].without["knows"] < reports["sum"].without["knows"] - 1
    assert best_rule(outputs, truth, weights) != "weighted"


def loud_noise(like: np.ndarray) -> np.ndarray:
    """One member more, as sure of itself as it knows nothing."""
    logits = np.random.default_rng(3).normal(0, 8, like[:, :1].shape)
    return softmax(logits, axis=-1).clip(1e-7).astype(np.float32)
