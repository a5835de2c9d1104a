"""The way of a clip: the first model, perhaps a second one, one answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from edge_client.audio import fit_clip
from edge_client.big.client import Because
from edge_client.big.question import Question
from edge_client.deferral.fusion import fused
from edge_client.deferral.policies import Float64
from edge_client.errors import EdgeError
from edge_client.feedback import Feedback
from edge_client.predictor import AudioPredictor, Scores
from edge_client.run.asker import Asker, Outcome
from edge_client.run.clip import Answer, Clip
from edge_client.run.decision import Decision

_TICK_S = 0.05
_MOST_SAID = 20  # different reasons for having no answer; each is told once


@dataclass(frozen=True)
class Setup:
    """What a run does."""

    first: AudioPredictor
    decision: Decision
    names: tuple[str, str] = ("little", "big")  # of the first and the second, in decided_by
    asker: Asker | None = None  # to the second model over the network, ...
    second: AudioPredictor | None = None  # ... or the second model on this device
    weight: float = 0.0  # of the first model's scores beside the second's
    patient: bool = True  # a file can wait for room in the queue, a microphone cannot
    feedback: Feedback | None = None


class Loop:
    """Takes clips and gives answers, in the order in which they are done."""

    def __init__(
        self,
        setup: Setup,
        give: Callable[[Answer], None],
        tell: Callable[[object], None],
        stop: threading.Event,
        follow: Callable[[Setup], Setup] | None = None,
    ) -> None:
        """Nothing is heard yet.

        Args:
            setup: what to do.
            give: gets every answer, in this thread.
            tell: gets what a person should know, a line each.
            stop: ends the run early.
            follow: asked before every clip what to do from now on, where a model may be replaced
                by another of the same labels and clips meanwhile.
        """
        self._setup, self._give, self._tell, self._stop = setup, give, tell, stop
        self._follow = follow
        self._asked: dict[int, tuple[Clip, Scores]] = {}
        self._said: set[str] = set()
        self._fault: Exception | None = None  # of a thread that asks
        self.failures = 0  # of inputs that could not be read

    def __call__(self, clips: Iterable[Clip | EdgeError | None]) -> None:
        """Answers all clips.

        Args:
            clips: an error stands for an input that cannot be read; None means that nothing has
                been heard yet, so that answers of the network can be given meanwhile.

        Raises:
            EdgeError: the big model is another than this device can ask.
        """
        asker = self._setup.asker
        try:
            for item in clips:
                if isinstance(item, Clip):
                    self._hear(item)
                elif item is not None:
                    self._tell(item)
                    self.failures += 1
                self._collect()
                if self._over():
                    break
            while asker is not None and asker.pending and not self._over():
                self._collect(_TICK_S)
        finally:
            # Whatever ends a run, what was heard is answered.
            if asker is not None:
                for outcome in asker.give_up():
                    self._answered(outcome)
        if self._fault is not None:
            raise self._fault

    def _over(self) -> bool:
        return self._stop.is_set() or self._fault is not None

    def _hear(self, clip: Clip) -> None:
        if self._follow is not None:
            self._setup = self._follow(self._setup)
        setup = self._setup
        heard = setup.first(clip.audio, clip.rate)
        first, second = setup.names
        if not setup.decision.asks(heard.scores):
            self._stands(clip, heard, first, doubtful=False)
        elif setup.asker is not None:
            question = self._question(clip, heard)
            ticket = self._submit(setup.asker, question)
            if ticket is None:
                self._stands(clip, heard, f"{first}_{Because.BUSY.value}")
            else:
                # Only the clip itself: a recording may be as long as it likes.
                self._asked[ticket] = (replace(clip, audio=question.audio), heard)
        elif setup.second is not None:
            again = setup.second(clip.audio, clip.rate)
            more = asdict(again.latency)
            latency = {step: ms + more[step] for step, ms in asdict(heard.latency).items()}
            scores = np.asarray(again.scores, np.float64)
            self._decided(clip, heard, scores, latency, second)

    def _submit(self, asker: Asker, question: Question) -> int | None:
        deadline = time.monotonic() + (2 * asker.patience if self._setup.patient else 0)
        while (ticket := asker.submit(question)) is None:
            if time.monotonic() >= deadline or self._over():
                return None
            self._collect(_TICK_S)
        return ticket

    def _question(self, clip: Clip, heard: Scores) -> Question:
        taken = self._setup.first.input
        # Bounded to a clip's length, but at its own rate: the big model may want a higher one.
        length = max(1, round(taken.samples * clip.rate / taken.sample_rate))
        return Question(
            audio=fit_clip(clip.audio, clip.rate, clip.rate, length),
            rate=clip.rate,
            features=heard.features,
            recipe=self._setup.first.features,
            samples=taken.samples,
            sample_rate=taken.sample_rate,
        )

    def _collect(self, seconds: float = 0.0) -> None:
        if self._setup.asker is None:
            return
        for outcome in self._setup.asker.collect(seconds):
            self._fault = self._fault or outcome.error
            if outcome.ticket in self._asked:
                self._answered(outcome)

    def _answered(self, outcome: Outcome) -> None:
        clip, heard = self._asked.pop(outcome.ticket)
        first, second = self._setup.names
        step = {"queued": outcome.queued_ms, second: outcome.asking_ms}
        latency = asdict(heard.latency) | step
        if outcome.scores is not None:
            scores = fused(heard.scores, outcome.scores, self._setup.weight)
            self._decided(clip, heard, scores, latency, second)
            return
        assert outcome.because is not None
        told = self._fault is not None or outcome.message in self._said
        if not told and len(self._said) < _MOST_SAID:
            self._said.add(outcome.message)
            self._tell(f"{outcome.message}; the answers of {first} stand")
        by = f"{first}_{outcome.because.value}"
        self._stands(clip, heard, by, latency, asked=outcome.tried)

    def _stands(
        self,
        clip: Clip,
        heard: Scores,
        by: str,
        latency: dict[str, float] | None = None,
        doubtful: bool = True,
        asked: bool = False,
    ) -> None:
        """The first model's answer is the answer."""
        self._give(
            Answer(
                clip=clip,
                label=heard.label,
                scores=heard.scores,
                margin=heard.margin,
                first_label=heard.label,
                decided_by=by,
                doubtful=doubtful,
                asked=asked,
                latency_ms=latency or asdict(heard.latency),
            )
        )

    def _decided(
        self, clip: Clip, heard: Scores, scores: Float64, latency: dict[str, float], by: str
    ) -> None:
        """The second model had a say."""
        label = self._setup.first.labels[int(scores.argmax())]
        second, best = np.sort(scores)[-2:].tolist()
        if self._setup.feedback is not None and label != heard.label:
            taken = self._setup.first.input
            audio = fit_clip(clip.audio, clip.rate, taken.sample_rate, taken.samples)
            self._setup.feedback.keep(audio, taken.sample_rate, label, clip.speaker)
        self._give(
            Answer(
                clip=clip,
                label=label,
                scores=scores,
                margin=best - second,
                first_label=heard.label,
                decided_by=by,
                doubtful=True,
                asked=True,
                latency_ms=latency,
            )
        )
