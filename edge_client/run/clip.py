"""What goes through a run: a clip, and the answer it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_client.audio import Float32, Int16
from edge_client.deferral.policies import Float64


@dataclass(frozen=True)
class Clip:
    """One recording."""

    path: str  # or whatever else names it
    audio: Int16 | Float32  # [n] or [n, channels]
    rate: int  # Hz
    word: str | None  # what is said in it, where that is known
    speaker: str | None  # who says it, where that is known


@dataclass(frozen=True)
class Answer:
    """What came of a clip."""

    clip: Clip
    label: str
    scores: Float32 | Float64  # [labels]
    margin: float  # of these scores
    first_label: str  # what the first model alone would have said
    decided_by: str
    doubtful: bool  # whether the policy wanted the second model
    asked: bool  # whether it was asked, in vain or not
    latency_ms: Mapping[str, float]  # by step; "total" is the first model's
