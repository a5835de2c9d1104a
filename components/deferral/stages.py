"""The two things that are tuned, each learned on validation and judged on test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.constraint_evaluator.budgets import verdict
from components.deferral.fast import FastAnswers, FastReport, tune_fast
from components.deferral.pair import BigModel, Pair, ask_both, scores_of
from components.deferral.recipe import FAST_UNITS, SYSTEM_UNITS, DeferralRecipe, FastRecipe
from components.deferral.report import DeferralReport, SplitReport, split_report
from components.deferral.tuning import tune
from components.progress import progress
from edge_client.bundle import AudioInput, Bundle, Deferral, FastMode
from edge_client.predictor import AudioPredictor


@dataclass(frozen=True)
class Clips:
    """One split: int16 clips at 16 kHz, and ``[n]`` indices of their right labels."""

    audio: Sequence[npt.NDArray[np.int16]]
    truth: npt.NDArray[np.int64]


class DeferralStage:
    """When the small model asks the big one."""

    def __init__(
        self, name: str, recipe: DeferralRecipe, predictor: AudioPredictor, big: Path | str
    ) -> None:
        """Loads the big model.

        Args:
            name: of the small model.
            recipe: target, payload and budgets.
            predictor: the small model.
            big: folder of the big one's SavedModel.

        Raises:
            InputError: no SavedModel of ours, or one with other labels.
        """
        self._name, self._recipe, self._predictor = name, recipe, predictor
        self._big = BigModel(big, recipe.payload)

    def learn(self, validation: Clips) -> tuple[Deferral, SplitReport]:
        """All of the deferral, and what it does on the clips it was learned on.

        Raises:
            InputError: the target is out of reach.
        """
        pair = self._ask(validation, "asking")
        tuned = tune(pair, self._recipe.target)
        return tuned.deferral, split_report(pair, tuned.deferral, tuned.doubts)

    def judge(
        self, deferral: Deferral, validation: SplitReport, test: Clips, run: str
    ) -> DeferralReport:
        """What it does on clips it was not learned on, and whether the budgets are kept."""
        report = split_report(self._ask(test, "testing with"), deferral)
        system = report.policies[deferral.policy]
        measured = {"accuracy": system.accuracy.value, "megabytes": system.megabytes}
        return DeferralReport(
            name=self._name,
            big=self._recipe.big,
            run=run,
            payload=self._recipe.payload,
            deferral=deferral,
            validation=validation,
            test=report,
            budgets=verdict(self._recipe.budgets, measured, SYSTEM_UNITS),
        )

    def _ask(self, clips: Clips, verb: str) -> Pair:
        title = f"{self._name}: {verb} {self._recipe.big}"
        with progress(title, 2 * len(clips.audio)) as bar:
            return ask_both(self._predictor, self._big, clips.audio, clips.truth, bar)


class FastStage:
    """One model on a cheap front end, and again on the full one where it is in doubt."""

    def __init__(
        self, name: str, recipe: FastRecipe, bundle: Bundle, predictor: AudioPredictor
    ) -> None:
        """Makes the cheap front end; raises ``InputError`` where there can be none."""
        taken = bundle.manifest.input
        assert isinstance(taken, AudioInput)  # as AudioPredictor has made sure
        self._name, self._recipe, self._full = name, recipe, predictor
        self._features = recipe.front_end(taken.features)
        self._cheap = AudioPredictor(bundle, name, self._features)

    def learn(self, validation: Clips) -> tuple[FastMode, dict[str, float]]:
        """The mode, and its figures on the clips it was learned on.

        Raises:
            InputError: the accuracy is out of reach.
        """
        answers = self._answers(validation)
        mode = tune_fast(answers, self._features, self._recipe.accuracy)
        return mode, answers.at(mode.threshold)

    def judge(self, mode: FastMode, validation: dict[str, float], test: Clips) -> FastReport:
        """What it does on clips it was not learned on, and whether the budgets are kept."""
        measured = self._answers(test).at(mode.threshold)
        budgets = verdict(self._recipe.budgets, measured, FAST_UNITS)
        return FastReport(self._name, mode, validation, measured, budgets)

    def _answers(self, clips: Clips) -> FastAnswers:
        with progress(f"{self._name}: fast mode", 2 * len(clips.audio)) as bar:
            return FastAnswers(
                scores_of(self._cheap, clips.audio, bar),
                scores_of(self._full, clips.audio, bar),
                clips.truth,
            )
