"""The model of ``ml4iot-edge run``, and what changes when another version of it is installed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_client.cli.models import Maker, Opened
from edge_client.errors import EdgeError
from edge_client.predictor import AudioPredictor
from edge_client.run.decision import Decision, big_decision, fast_decision
from edge_client.run.loop import Setup
from edge_client.run.modes import BIG_LITTLE, FAST_SLOW


@dataclass(frozen=True)
class Loaded:
    """What a run takes from a bundle."""

    first: AudioPredictor
    second: AudioPredictor | None  # the full front end on this device, in fast-slow mode
    decision: Decision
    weight: float  # of the first model's scores beside the big one's


class Loader:
    """Loads versions of which each can take the place of the one before, in the middle of a run."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self._before: Loaded | None = None

    def __call__(self, maker: Maker) -> Loaded:
        """Raises :class:`EdgeError` for a model that this run cannot use, or not any more."""
        chosen, manifest = self._chosen, maker.bundle.manifest
        fast = manifest.fast
        if chosen.mode == BIG_LITTLE:
            first = maker.audio()
        elif fast is None:
            raise EdgeError(f"{maker.name}: it carries no fast front end; push it with one")
        else:
            first = maker.audio(fast.features)
        if chosen.mode == FAST_SLOW and fast is not None:
            decision = fast_decision(fast, chosen.threshold)
        else:
            deferral, labels = manifest.deferral, len(first.labels)
            decision = big_decision(deferral, chosen.policy, chosen.threshold, labels, maker.name)
        here = chosen.mode == FAST_SLOW and chosen.slow is None
        # /slow_model is the same model with other features: its answer stands alone.
        weighs = manifest.deferral is not None and chosen.mode == BIG_LITTLE
        loaded = Loaded(
            first=first,
            second=maker.audio() if here else None,
            decision=decision,
            weight=manifest.deferral.fusion if manifest.deferral and weighs else 0.0,
        )
        if self._before is not None:
            _check(self._before, loaded, maker.name)
        self._before = loaded
        return loaded


def follower(model: Opened[Loaded]) -> Callable[[Setup], Setup]:
    """What :class:`~edge_client.run.loop.Loop` asks before every clip."""

    def follow(setup: Setup) -> Setup:
        if not model.follow():
            return setup
        loaded = model.predictor
        return replace(
            setup,
            first=loaded.first,
            second=loaded.second,
            decision=loaded.decision,
            weight=loaded.weight,
        )

    return follow


def _check(before: Loaded, now: Loaded, name: str) -> None:
    """Microphone, big model and feedback were set up for the model before."""
    one, other = before.first, now.first
    if one.labels != other.labels:
        raise EdgeError(f"{name} knows other words; start run again to use it")
    clips = [(each.input.samples, each.input.sample_rate) for each in (one, other)]
    if clips[0] != clips[1]:
        raise EdgeError(f"{name} takes clips of another length; start run again to use it")
    if before.decision.policy == "never" != now.decision.policy:
        raise EdgeError(f"{name} would ask the big model; start run again to use it")
