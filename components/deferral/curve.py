"""What asking buys: accuracy against the share of clips asked for and the bytes that takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from components.deferral.pair import Bools, Pair

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Corners of a curve that is straight between them: ``[k]`` each, from nobody asked to all."""

    share: tuple[float, ...]  # of clips asked for, 0 to 1
    accuracy: tuple[float, ...]  # of both models together, in percent
    megabytes: tuple[float, ...]  # of request bodies, 2^20 bytes

    def to_json(self) -> dict[str, Any]:
        """The fields as lists."""
        return {name: list(values) for name, values in asdict(self).items()}


def curve(doubt: Float64, pair: Pair, fusion: float) -> Curve:
    """Asking for the most doubtful clips first.

    Among clips of the same doubt the order is left to chance, so the curve is what is to be
    expected of it: a straight line.

    Args:
        doubt: ``[n]``, higher for more doubtful.
        pair: the answers.
        fusion: weight of the small model's answer beside the big one's.
    """
    kept = pair.little_right()
    _, places = np.unique(-doubt, return_inverse=True)
    asked, won, sent = (
        np.concatenate([[0.0], np.cumsum(np.bincount(places, values))])
        for values in (np.ones(len(kept)), pair.gain(fusion), pair.request_bytes)
    )
    return Curve(
        share=tuple((asked / len(kept)).tolist()),
        accuracy=tuple((100 * (kept.sum() + won) / len(kept)).tolist()),
        megabytes=tuple((sent / 2**20).tolist()),
    )


def random_bound(pair: Pair, fusion: float) -> Curve:
    """Asking for clips drawn by lot: what any policy must beat."""
    return curve(np.zeros(len(pair.truth)), pair, fusion)


def oracle_bound(pair: Pair, fusion: float) -> Curve:
    """Asking first where that puts an answer right, last where it spoils one: what none beats."""
    return curve(pair.gain(fusion), pair, fusion)


def area_gained(of: Curve, pair: Pair, fusion: float) -> float | None:
    """How far up between random and oracle the curve runs, on average over all shares.

    0 is no better than by lot, 1 is the oracle's; None where asking changes nothing.
    """
    low, high = _area(random_bound(pair, fusion)), _area(oracle_bound(pair, fusion))
    return None if high <= low else (_area(of) - low) / (high - low)


def _area(of: Curve) -> float:
    return float(np.trapz(of.accuracy, of.share))


def auroc(doubt: Float64, wrong: Bools) -> float | None:
    """The chance that a clip answered wrongly is more doubtful than one answered rightly.

    The area under the ROC curve by ranks (J. Hanley and B. McNeil, Radiology 143 (1982), 29-36),
    ties counted half; None where all answers are of one kind.
    """
    positives, negatives = int(wrong.sum()), int((~wrong).sum())
    if not positives or not negatives:
        return None
    ranks = rankdata(doubt)[wrong].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))
