"""Curves between their bounds, by hand and in general."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.deferral.curve import area_gained, auroc, curve, oracle_bound, random_bound
from components.deferral.draw import draw
from components.deferral.pair import Pair
from components.deferral.recipe import Target
from components.deferral.report import split_report
from components.deferral.tuning import tune


def verdicts(kept: list[int], asked: list[int]) -> Pair:
    """Two labels, of which 0 is right; a model says it or not."""
    scores = [
        np.where(np.array(right)[:, np.newaxis], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
        for right in (kept, asked)
    ]
    return Pair(*scores, np.zeros(len(kept), np.int64), np.full(len(kept), 2**18))


def test_by_hand() -> None:
    # Asking puts clip 0 right, spoils clip 1 and changes nothing for the others.
    both = verdicts([0, 1, 1, 0], [1, 0, 1, 0])
    drawn = curve(np.array([0.9, 0.1, 0.5, 0.7]), both, 0.0)
    assert drawn.share == (0, 0.25, 0.5, 0.75, 1)
    assert drawn.accuracy == (50, 75, 75, 75, 50)
    assert drawn.megabytes == (0, 0.25, 0.5, 0.75, 1)
    assert random_bound(both, 0.0).accuracy == (50, 50)
    assert oracle_bound(both, 0.0).share == (0, 0.25, 0.75, 1)
    assert area_gained(drawn, both, 0.0) == 1
    tied = curve(np.array([0.9, 0.9, 0.5, 0.5]), both, 0.0)
    assert tied.accuracy == (50, 50, 50)
    assert area_gained(tied, both, 0.0) == 0


def test_nothing_to_gain_has_no_area() -> None:
    same = verdicts([1, 0], [1, 0])
    assert area_gained(curve(np.array([0.1, 0.2]), same, 0.0), same, 0.0) is None


bits = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=40)


@given(bits)
def test_no_policy_beats_the_oracle(clips: list[tuple[bool, bool, int]]) -> None:
    kept, asked, doubt = (list(column) for column in zip(*clips, strict=True))
    both = verdicts(kept, asked)
    drawn = curve(np.array(doubt, float), both, 0.0)
    oracle = oracle_bound(both, 0.0)
    best = np.interp(drawn.share, oracle.share, oracle.accuracy)
    assert np.all(np.array(drawn.accuracy) <= best + 1e-9)
    area = area_gained(drawn, both, 0.0)
    assert area is None or -1 - 1e-9 <= area <= 1 + 1e-9


def test_auroc_by_hand() -> None:
    wrong = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.5, 0.5, 0.1]), wrong) == 3.5 / 4
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), wrong) == 0
    assert auroc(np.zeros(4), np.zeros(4, bool)) is None


def test_the_drawing_names_its_axes_and_policies_and_is_always_the_same(
    validation: Pair, tmp_path: Path
) -> None:
    tuned = tune(validation, Target(share=0.25))
    report = split_report(validation, tuned.deferral, tuned.doubts)
    for name in ("one.svg", "two.svg"):
        draw(report, tuned.deferral.policy, "small asking large", tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    for wanted in (*tuned.deferral.thresholds, "oracle", "random", "accuracy, %", "clips asked"):
        assert wanted in text
    assert text == (tmp_path / "two.svg").read_text()
