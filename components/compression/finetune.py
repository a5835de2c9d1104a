"""A few more epochs for a model that a step has changed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf

from components.compression.steps import Context
from components.trainer.fit import Figure, fit


@dataclass(frozen=True)
class FineTuning:
    """Options of every step that trains on; the rest is as in the first training.

    But for distillation: compression is given no teacher, so a student trains on with the labels
    alone.

    Starting from the first training's learning rate again recovers more than a small one does
    (Renda et al., 2020, "Comparing rewinding and fine-tuning in neural network pruning").
    """

    epochs: int = 10
    learning_rate: float | None = None  # None: that of the first training, which falls to 0 again

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"epochs is {self.epochs}; it must not be negative")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")


def fine_tune(
    model: tf.keras.Model, wanted: FineTuning, context: Context, figure: Figure | None = None
) -> None:
    """Trains ``model`` in place with the task's augmentation and loss; its best epoch is kept.

    Args:
        model: to train.
        wanted: for how long and how fast.
        context: of the step.
        figure: decides which epoch is best; the task's own by default.
    """
    if not wanted.epochs:
        return
    first = context.training
    training = replace(
        first,
        epochs=wanted.epochs,
        learning_rate=wanted.learning_rate or first.learning_rate,
        warmup_epochs=0.0,
        patience=None,
        seed=first.seed + 1,  # augmented otherwise than the first epochs of the first training
        mixed_precision=False,
    )
    task = context.task
    tf.keras.utils.set_random_seed(training.seed)
    with tempfile.TemporaryDirectory() as checkpoints:
        fit(
            model,
            task.epochs(training),
            len(task.train.inputs),
            task.loss(training),
            figure or task.figure(),
            training,
            Path(checkpoints),
            context.title,
        )


def steps_of_epoch(context: Context) -> int:
    """Optimizer steps of one epoch of fine-tuning."""
    examples = len(context.task.train.inputs)
    return examples // min(context.training.batch_size, examples)
