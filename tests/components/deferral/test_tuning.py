"""Thresholds keep their targets, and what is learned finds what was put in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from components.deferral.logistic import cross_validated, fit_logistic
from components.deferral.pair import Pair
from components.deferral.recipe import Target
from components.deferral.report import split_report
from components.deferral.tuning import OperatingPoints, fit_fusion, fit_temperature, tune
from components.errors import InputError
from edge_client.deferral.policies import doubts
from edge_client.wilson import wilson


def test_a_share_is_kept_with_confidence_and_used_up(validation: Pair) -> None:
    deferral = tune(validation, Target(share=0.25)).deferral
    assert set(deferral.thresholds) == {"margin", "entropy", "temperature", "learned"}
    assert deferral.target == "share < 0.25"
    asked = int(
        (doubts("margin", validation.little, deferral) > deferral.thresholds["margin"]).sum()
    )
    assert wilson(asked, 600)[1] < 0.25 <= wilson(asked + 1, 600)[1]
    assert deferral.validation_accuracy > 96


def test_the_share_holds_on_clips_not_heard_before(validation: Pair, test: Pair) -> None:
    deferral = tune(validation, Target(share=0.25)).deferral
    report = split_report(test, deferral)
    system = report.policies[deferral.policy]
    assert 0.15 < system.share < 0.25
    assert system.accuracy.value > report.little.value + 10
    assert system.megabytes == pytest.approx(system.share * 600 * 2000 / 2**20, rel=0.1)
    assert system.area > 0.85
    assert system.auroc > 0.95


def test_an_accuracy_is_reached_with_as_few_clips_as_can_be(validation: Pair) -> None:
    tuned = tune(validation, Target(accuracy=95))
    deferral, doubt = tuned.deferral, tuned.doubts[tuned.deferral.policy]
    assert deferral.validation_accuracy > 95
    kept, fused = validation.little_right(), validation.fused_right(deferral.fusion)
    threshold = deferral.thresholds[deferral.policy]
    fewer = doubt > np.min(doubt[doubt > threshold])
    assert 100 * np.where(fewer, fused, kept).mean() <= 95


def test_an_accuracy_out_of_reach_is_said(validation: Pair) -> None:
    with pytest.raises(InputError, match=r"target accuracy > 99.9 %: at best 9\d\.\d\d % on"):
        tune(validation, Target(accuracy=99.9))


def test_bytes_an_hour_are_a_share(validation: Pair) -> None:
    mean = float(validation.request_bytes.mean())
    hour = Target(bytes_per_hour=100 * mean, clips_per_hour=500)
    assert hour.largest_share(mean) == pytest.approx(0.2)
    by_bytes = tune(validation, hour).deferral
    assert by_bytes.thresholds == tune(validation, Target(share=0.2)).deferral.thresholds


def test_without_clips_that_big_wins_nothing_is_learned(validation: Pair) -> None:
    tuned = tune(replace(validation, big=validation.little), Target(share=0.25))
    assert tuned.deferral.learned is None
    assert "learned" not in tuned.deferral.thresholds
    assert tuned.deferral.validation_accuracy == 100 * validation.little_right().mean()


def test_the_learned_policy_is_judged_on_what_it_was_not_fitted_on(validation: Pair) -> None:
    tuned = tune(validation, Target(share=0.25))
    fitted = doubts("learned", validation.little, tuned.deferral)
    assert not np.array_equal(fitted, tuned.doubts["learned"])
    assert np.corrcoef(fitted, tuned.doubts["learned"])[0, 1] > 0.9


@given(
    doubt=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=30),
    data=st.data(),
)
def test_every_operating_point_is_what_its_threshold_does(doubt: list[float], data) -> None:
    bools = st.lists(st.booleans(), min_size=len(doubt), max_size=len(doubt)).map(np.array)
    kept, asked_right = data.draw(bools), data.draw(bools)
    values = np.array(doubt)
    points = OperatingPoints.of(values, kept, asked_right)
    assert (points.asked[0], points.asked[-1]) == (0, len(doubt))
    for threshold, asked, right in zip(points.thresholds, points.asked, points.right, strict=True):
        above = values > threshold
        assert above.sum() == asked
        assert np.where(above, asked_right, kept).sum() == right


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    chances = softmax(logits, axis=-1)
    truth = (rng.random((20_000, 1)) > chances.cumsum(-1)).sum(-1)
    overconfident = softmax(1.5 * logits, axis=-1).astype(np.float32)
    assert fit_temperature(overconfident, truth) == pytest.approx(1.5, rel=0.1)


def test_a_small_model_that_knows_nothing_weighs_nothing(validation: Pair) -> None:
    rng = np.random.default_rng(1)
    guess = softmax(rng.normal(0, 1, validation.little.shape), axis=-1).astype(np.float32)
    assert fit_fusion(replace(validation, little=guess)) < 0.1
    assert fit_fusion(validation) > 0.1


def test_logistic_regression_finds_the_weights_whatever_their_units() -> None:
    rng = np.random.default_rng(2)
    seen = rng.normal(0, 1, (20_000, 3)) * [1.0, 100.0, 1.0] + [0.0, 50.0, 3.0]
    answers = rng.random(20_000) < expit(seen @ [2.0, -0.01, 0.0] - 1)
    weights, bias = fit_logistic(seen, answers, 1e-4)
    assert weights == pytest.approx([2.0, -0.01, 0.0], abs=0.1)
    assert bias == pytest.approx(-1, abs=0.3)
    strength, chances = cross_validated(seen, answers)
    assert strength <= 1e-2
    assert chances == pytest.approx(expit(seen @ weights + bias), abs=0.05)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "exactly one"),
        ({"share": 0.1, "accuracy": 90}, "exactly one"),
        ({"share": 1.5}, "share is 1.5"),
        ({"share": float("nan")}, "share is nan"),
        ({"bytes_per_hour": 1000}, "go together"),
        ({"share": 0.1, "clips_per_hour": 10}, "go together"),
    ],
)
def test_targets_that_cannot_be(values: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Target(**values)
