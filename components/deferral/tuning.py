"""What a device must know to ask the big model when that pays, learned on validation alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from components.deferral.curve import area_gained, curve
from components.deferral.logistic import cross_validated, fit_logistic
from components.deferral.pair import Bools, Float32, Pair
from components.deferral.recipe import Target
from components.errors import InputError
from edge_client.bundle import Deferral, Learned
from edge_client.deferral.policies import doubts, log_scores, phi
from edge_client.wilson import wilson

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_TUNED = ("margin", "entropy", "temperature", "learned")
_LOG_TEMPERATURES = (-3.0, 3.0)
_MOST_FUSION = 10.0
# Fewer clips that the big model wins teach nothing about when it wins.
_FEWEST_WON = 5


@dataclass(frozen=True)
class OperatingPoints:
    """Everything one policy can do on one split, from asking nobody to asking for every clip.

    Attributes:
        thresholds: a clip is asked for when its doubt is above.
        asked: clips asked for at each.
        right: clips right at each.
        sent: bytes of the requests at each.
    """

    thresholds: Float64
    asked: Ints
    right: Ints
    sent: Ints

    @classmethod
    def of(
        cls, doubt: Float64, kept_right: Bools, asked_right: Bools, request_bytes: Ints
    ) -> OperatingPoints:
        """All thresholds of one policy.

        Args:
            doubt: ``[n]``.
            kept_right: ``[n]``, which clips are right when nobody is asked.
            asked_right: ``[n]``, which are right when asked for.
            request_bytes: ``[n]``, what asking for each sends.
        """
        values, places = np.unique(-doubt, return_inverse=True)
        levels = -values  # from the largest doubt to the smallest
        between = (levels[:-1] + levels[1:]) / 2
        # Half way, so that a clip a little less doubtful is not asked for; but of two neighbouring
        # numbers the middle may be the larger one, which is to be asked for.
        between = np.where(between < levels[:-1], between, levels[1:])
        thresholds = np.concatenate([levels[:1], between, np.nextafter(levels[-1:], -np.inf)])
        gain = asked_right.astype(np.int64) - kept_right
        asked, won, sent = (
            np.concatenate([[0], np.cumsum(np.bincount(places, values).round().astype(np.int64))])
            for values in (np.ones(len(doubt)), gain, request_bytes)
        )
        return cls(thresholds, asked, kept_right.sum() + won, sent)

    def choose(self, target: Target) -> int | None:
        """The place of the threshold that keeps the target; None where none does.

        A share must be kept on clips not yet heard, so it is the upper end of its 95 % interval
        that stays below the target, and as many clips are asked for as that allows; likewise for
        bytes, at the mean size of the requests that are sent.  For an accuracy it is as few clips
        as reach it on these very clips, a point estimate: a bound with confidence would put every
        target near the small model's accuracy out of reach.
        """
        clips = int(self.asked[-1])
        if target.accuracy is not None:
            reached = np.flatnonzero(100 * self.right > target.accuracy * clips)
            return int(reached[0]) if len(reached) else None
        # Where nobody is asked, the next in line tell how large a request would be.
        first = np.maximum(np.arange(len(self.asked)), 1)
        each = self.sent[first] / self.asked[first]
        kept = [
            place
            for place, asked in enumerate(self.asked)
            if target.allows(wilson(int(asked), clips)[1], each[place])
        ]
        return kept[-1] if kept else None


@dataclass(frozen=True)
class Tuned:
    """A deferral, and each policy's doubts on validation that its threshold was chosen on."""

    deferral: Deferral
    doubts: dict[str, Float64]


def tune(pair: Pair, target: Target) -> Tuned:
    """Learns all of a deferral from the answers on validation.

    Temperature and fusion weight are fitted by maximum likelihood, the learned policy by logistic
    regression; its threshold is chosen on cross-validated predictions, since on clips it was
    fitted on it is surer of itself than on others.  Policies that miss the target get no threshold.
    The policy of the deferral is the one that serves the target best; on a tie, the one that gains
    more over the whole curve.

    Args:
        pair: the answers on validation.
        target: what the thresholds are chosen for.

    Raises:
        InputError: no policy reaches the target.
    """
    fusion = fit_fusion(pair)
    kept, asked = pair.little_right(), pair.fused_right(fusion)
    draft = Deferral(
        temperature=fit_temperature(pair.little, pair.truth),
        learned=None,
        fusion=fusion,
        policy="margin",
        thresholds={},
        target=str(target),
        validation_accuracy=0.0,
        validation_share=0.0,
    )
    known = {p: doubts(p, pair.little, draft) for p in _TUNED if p != "learned"}
    worth = ~kept & asked
    if worth.sum() >= _FEWEST_WON:
        seen = phi(pair.little)
        strength, known["learned"] = cross_validated(seen, worth)
        weights, bias = fit_logistic(seen, worth, strength)
        draft = replace(draft, learned=Learned(tuple(map(float, weights)), bias))
    points = {
        policy: OperatingPoints.of(doubt, kept, asked, pair.request_bytes)
        for policy, doubt in known.items()
    }
    choices = {}
    for policy, able in points.items():
        place = able.choose(target)
        if place is not None:  # a policy that misses the target is none a device may choose
            choices[policy] = _Choice(
                threshold=float(able.thresholds[place]),
                right=int(able.right[place]),
                asked=int(able.asked[place]),
                area=area_gained(curve(known[policy], pair, fusion), pair, fusion) or 0.0,
            )
    if not choices:
        raise InputError(f"target {target}: {_why_missed(points.values(), target)}")
    best = max(choices, key=lambda policy: choices[policy].merit(target))
    deferral = replace(
        draft,
        policy=best,
        thresholds={policy: choice.threshold for policy, choice in choices.items()},
        validation_accuracy=100 * choices[best].right / len(kept),
        validation_share=choices[best].asked / len(kept),
    )
    return Tuned(deferral, known)


@dataclass(frozen=True)
class _Choice:
    """One policy at its threshold."""

    threshold: float
    right: int
    asked: int
    area: float

    def merit(self, target: Target) -> tuple[float, float]:
        """Higher serves the target better."""
        return (self.right if target.accuracy is None else -self.asked), self.area


def _why_missed(policies: Collection[OperatingPoints], target: Target) -> str:
    clips = max(int(points.asked[-1]) for points in policies)
    if target.accuracy is None:
        return f"{clips} validation clips are too few to promise that; raise it or take more clips"
    best = 100 * max(points.right.max() for points in policies) / clips
    return f"at best {best:.2f} %; lower it or train better models"


def fit_temperature(scores: Float32, truth: npt.NDArray[np.int64]) -> float:
    """The T for which softmax(ln(scores) / T) gives the right labels the highest likelihood.

    C. Guo and others, On calibration of modern neural networks (2017), section 4.2.

    Args:
        scores: ``[n, labels]`` probabilities.
        truth: ``[n]`` indices of the right labels.
    """
    logs = log_scores(scores)
    found = minimize_scalar(
        lambda log_t: _surprise(logs * np.exp(-log_t), truth),
        bounds=_LOG_TEMPERATURES,
        method="bounded",
    )
    return float(np.exp(found.x))


def fit_fusion(pair: Pair) -> float:
    """The weight of the small model that gives the fused answers the highest likelihood.

    A temperature of the fused answer is fitted along with it: likelihood must not take the sum of
    two answers for more certain than it is.
    """
    little, big = log_scores(pair.little), log_scores(pair.big)

    def surprise(x: Float64) -> float:
        return _surprise((big + x[0] * little) * np.exp(-x[1]), pair.truth)

    found = minimize(
        surprise, [0.5, 0.0], method="L-BFGS-B", bounds=[(0, _MOST_FUSION), _LOG_TEMPERATURES]
    )
    return float(found.x[0])


def _surprise(logits: Float64, truth: npt.NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of the right labels."""
    return float(-log_softmax(logits, axis=-1)[np.arange(len(truth)), truth].mean())
