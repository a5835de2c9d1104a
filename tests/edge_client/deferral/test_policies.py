from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_client.deferral.fusion import fused
from edge_client.deferral.policies import POLICIES, PolicyError, doubts, phi
from tests.edge_client.tiny import DEFERRAL

# What an int8 softmax gives: steps of 1/256, zeros included.
int8_scores = arrays(np.float32, (4, 3), elements=st.integers(0, 255).map(lambda n: n / 256))
SURE, TORN, EVEN = [0.996, 0.0, 0.004], [0.5, 0.5, 0.0], [1 / 3] * 3


@pytest.mark.parametrize("policy", ["margin", "entropy", "temperature"])
def test_the_less_clear_the_more_doubtful(policy):
    sure, fair, even = doubts(policy, np.array([SURE, [0.7, 0.2, 0.1], EVEN]), DEFERRAL)
    assert 0 <= sure < fair < even <= 1 + 1e-9
    assert even == pytest.approx(1)


def test_margin_by_hand():
    np.testing.assert_allclose(doubts("margin", np.array([SURE, TORN]), None), [0.008, 1.0])


def test_entropy_by_hand_with_a_zero_in_it():
    np.testing.assert_allclose(doubts("entropy", np.array([TORN]), None), np.log(2) / np.log(3))


def test_temperature_by_hand():
    logits = np.log([0.7, 0.2, 1e-4]) / 1.5
    shares = np.exp(logits) / np.exp(logits).sum()
    given = doubts("temperature", np.array([0.7, 0.2, 0.0]), DEFERRAL)
    assert given == pytest.approx(1 - (shares[0] - shares[1]))


def test_learned_by_hand():
    logs = np.log([0.2, 0.7, 0.1])
    features = [*logs, *sorted(logs, reverse=True)]
    logit = np.dot(features, DEFERRAL.learned.weights) + DEFERRAL.learned.bias
    given = doubts("learned", np.array([0.2, 0.7, 0.1]), DEFERRAL)
    assert given == pytest.approx(1 / (1 + np.exp(-logit)))


def test_learned_survives_weights_of_any_size():
    steep = replace(DEFERRAL, learned=replace(DEFERRAL.learned, weights=(1e6,) * 6))
    assert doubts("learned", np.array(SURE), steep) == 0
    steep = replace(DEFERRAL, learned=replace(DEFERRAL.learned, weights=(-1e6,) * 6))
    assert doubts("learned", np.array(SURE), steep) == 1


def test_never_and_always():
    assert doubts("never", np.array(EVEN), None) == -np.inf
    assert doubts("always", np.array(SURE), None) == np.inf


@given(int8_scores)
def test_every_policy_gives_numbers_alike_for_one_clip_and_for_many(scores):
    for policy in POLICIES:
        together = doubts(policy, scores, DEFERRAL)
        assert together.shape == (4,)
        assert together.dtype == np.float64
        assert not np.isnan(together).any()
        alone = [float(doubts(policy, row, DEFERRAL)) for row in scores]
        np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_what_a_bundle_must_carry():
    with pytest.raises(PolicyError, match="no policy 'poetry'"):
        doubts("poetry", np.array(EVEN), DEFERRAL)
    for policy in ("temperature", "learned"):
        with pytest.raises(PolicyError, match="carries no deferral"):
            doubts(policy, np.array(EVEN), None)
    with pytest.raises(PolicyError, match="no learned weights"):
        doubts("learned", np.array(EVEN), replace(DEFERRAL, learned=None))


def test_phi_is_the_logs_in_order_and_sorted():
    given = phi(np.array([[0.2, 0.7, 0.0]]))
    np.testing.assert_allclose(given, np.log([[0.2, 0.7, 1e-4, 0.7, 0.2, 1e-4]]))


def test_fusion_by_hand():
    little, big = np.array([0.6, 0.4, 0.0]), np.array([0.3, 0.5, 0.2])
    product = big * np.array([0.6, 0.4, 1e-4]) ** 0.5
    np.testing.assert_allclose(fused(little, big, 0.5), product / product.sum())


@given(int8_scores, int8_scores)
def test_fusion_gives_probabilities_and_with_weight_0_big_decides(little, big):
    for weight in (0.0, 0.3, 2.0):
        both = fused(little, big, weight)
        np.testing.assert_allclose(both.sum(axis=-1), 1)
        assert (both > 0).all()
    alone = fused(little, big, 0.0)
    np.testing.assert_array_equal(alone.argmax(-1), np.maximum(big, 1e-4).argmax(-1))
