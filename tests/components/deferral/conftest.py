"""Answers made up so that what asking is worth is known."""

from __future__ import annotations

import numpy as np
import pytest

from components.deferral.pair import Pair

LABELS = 4


def pair(clips: int, seed: int = 3, wrong: float = 0.2, big_wrong: float = 0.02) -> Pair:
    """A small model that is less sure where it is wrong, and a big one that errs by lot."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(LABELS, size=clips)
    answers, sure = [], []
    for share, doubt in ((wrong, 0.6), (big_wrong, 3.0)):
        errs = rng.random(clips) < share
        answer = np.where(errs, (truth + 1) % LABELS, truth)
        logits = np.where(np.arange(LABELS) == answer[:, np.newaxis], 1.0, 0.0)
        logits *= np.where(errs, doubt, 5.0)[:, np.newaxis] * rng.uniform(0.7, 1.3, (clips, 1))
        powers = np.exp(logits)
        answers.append((powers / powers.sum(-1, keepdims=True)).astype(np.float32))
        sure.append(errs)
    return Pair(answers[0], answers[1], truth, rng.integers(1000, 3000, clips))


@pytest.fixture(scope="session")
def validation() -> Pair:
    return pair(600)


@pytest.fixture(scope="session")
def test() -> Pair:
    return pair(600, seed=4)
