"""A trained model and a recipe to one candidate file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

# Imported for the steps they register.
from components.compression import (  # noqa: F401
    convert,
    magnitude_pruning,
    packing,
    slim,
    width_pruning,
)
from components.compression.steps import Context, Planned, Stage, plan
from components.trainer.recipe import Training
from components.trainer.task import Task
from components.version import CompressionRecipe


@dataclass(frozen=True)
class Candidate:
    """A file that might be pushed, and how it was made."""

    name: str  # of the recipe
    steps: tuple[Mapping[str, Any], ...]
    data: bytes  # as pushed
    compression: str  # of data: "none" or "zlib"

    @property
    def file(self) -> str:
        """The file's name in its folder."""
        return "model.tflite" if self.compression == "none" else f"model.tflite.{self.compression}"

    def write(self, folder: Path) -> None:
        """Fills ``folder`` with the file and ``candidate.json``; both appear at once."""
        aside = folder.with_name(f".{folder.name}.tmp")
        aside.mkdir(parents=True)
        (aside / self.file).write_bytes(self.data)
        description = {
            "recipe": self.name,
            "steps": [dict(step) for step in self.steps],
            "file": self.file,
            "compression": self.compression,
        }
        (aside / "candidate.json").write_text(json.dumps(description, indent=1))
        aside.rename(folder)


class Compressor:
    """Makes the candidates of one model; steps that recipes begin with in common run once."""

    def __init__(self, model: tf.keras.Model, task: Task, training: Training) -> None:
        """Made for one model.

        Args:
            model: trained; keyword models return logits.
            task: its data, for representative sets and fine-tuning.
            training: how it was trained.
        """
        self._task = task
        self._training = training
        self._made: dict[tuple[Planned, ...], Any] = {(): model}

    def __call__(self, recipe: CompressionRecipe, where: str = "recipe") -> Candidate:
        """Runs one recipe; raises ``InputError`` before anything runs if it cannot."""
        planned = plan(recipe, where)
        data = self._make(planned, recipe.name)
        last = planned[-1].step
        compression = last.name if last.stage == Stage.PACKING else "none"
        return Candidate(recipe.name, recipe.steps, data, compression)

    def _make(self, planned: tuple[Planned, ...], title: str) -> Any:
        if planned not in self._made:
            before = self._make(planned[:-1], title)
            step, options = planned[-1].step, planned[-1].options
            context = Context(self._task, self._training, f"{title}: {step.name}")
            self._made[planned] = step.function(before, options, context)
        return self._made[planned]
