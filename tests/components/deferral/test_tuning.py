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
from tests.components.deferral.conftest import pair


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
    assert deferral.target == "accuracy > 95 % on validation"
    assert deferral.validation_accuracy > 95
    kept, fused = validation.little_right(), validation.fused_right(deferral.fusion)
    threshold = deferral.thresholds[deferral.policy]
    fewer = doubt > np.min(doubt[doubt > threshold])
    assert 100 * np.where(fewer, fused, kept).mean() <= 95


def test_an_accuracy_out_of_reach_is_said(validation: Pair) -> None:
    said = r"target accuracy > 99.9 % on validation: at best 9\d\.\d\d %; lower it"
    with pytest.raises(InputError, match=said):
        tune(validation, Target(accuracy=99.9))


def test_a_policy_that_misses_the_accuracy_is_left_out() -> None:
    close = pair(200, seed=8, wrong=0.1, big_wrong=0.08)
    noise = np.random.default_rng(8).normal(0, 1, close.little.shape)
    noisy = softmax(np.log(close.little) + noise, axis=-1).astype(np.float32)
    close = replace(close, little=noisy)  # so that policies put the clips in different orders
    tuned = tune(close, Target(share=0.5))
    kept, asked = close.little_right(), close.fused_right(tuned.deferral.fusion)
    best = {
        policy: 100 * OperatingPoints.of(doubt, kept, asked, close.request_bytes).right.max() / 200
        for policy, doubt in tuned.doubts.items()
    }
    low, high = min(best.values()), max(best.values())
    assert low < high
    deferral = tune(close, Target(accuracy=low)).deferral
    assert set(deferral.thresholds) == {policy for policy in best if best[policy] > low}
    assert deferral.policy in deferral.thresholds
    with pytest.raises(InputError, match=f"at best {high:.2f} %"):
        tune(close, Target(accuracy=high))


@pytest.mark.parametrize(
    "target", [Target(share=0.004), Target(bytes_per_hour=5, clips_per_hour=1)]
)
def test_what_so_few_clips_cannot_promise_is_said(validation: Pair, target: Target) -> None:
    with pytest.raises(InputError, match=f"target {target}: 600 validation clips are too few"):
        tune(validation, target)


def test_bytes_of_one_size_are_a_share(validation: Pair) -> None:
    even = replace(validation, request_bytes=np.full(600, 2400))
    by_bytes = tune(even, Target(bytes_per_hour=240_000, clips_per_hour=500)).deferral
    assert by_bytes.thresholds == tune(even, Target(share=0.2)).deferral.thresholds


def test_bytes_an_hour_are_kept_where_doubtful_clips_are_the_largest(validation: Pair) -> None:
    doubt = doubts("margin", validation.little, tune(validation, Target(share=0.2)).deferral)
    sizes = np.rint(1000 + 4000 * (doubt - doubt.min()) / np.ptp(doubt)).astype(np.int64)
    growing = replace(validation, request_bytes=sizes)
    tuned = tune(growing, Target(bytes_per_hour=500_000, clips_per_hour=1000))
    for policy, threshold in tuned.deferral.thresholds.items():
        asked = tuned.doubts[policy] > threshold
        assert asked.any()
        assert sizes[asked].mean() > 1.2 * sizes.mean()
        assert wilson(int(asked.sum()), 600)[1] * sizes[asked].mean() * 1000 < 500_000


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
    sizes = np.arange(len(doubt)) + 1
    points = OperatingPoints.of(values, kept, asked_right, sizes)
    assert (points.asked[0], points.asked[-1]) == (0, len(doubt))
    for place, threshold in enumerate(points.thresholds):
        above = values > threshold
        assert above.sum() == points.asked[place]
        assert np.where(above, asked_right, kept).sum() == points.right[place]
        assert sizes[above].sum() == points.sent[place]


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
