"""The training loop: schedules, early stopping, resumable checkpoints, a progress bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import InputError
from components.progress import progress
from components.trainer.recipe import Training

Float32 = npt.NDArray[np.float32]
EpochData = Callable[[int], tuple[Float32, Float32]]
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class Figure:
    """The validation figure that decides: its name and whether more of it is better."""

    name: str
    measure: Callable[[tf.keras.Model], float]
    higher_is_better: bool

    def better(self, new: float, old: float) -> bool:
        """Whether ``new`` beats ``old``."""
        return new > old if self.higher_is_better else new < old

    @property
    def worst(self) -> float:
        """What every measurement beats."""
        return -math.inf if self.higher_is_better else math.inf


def cosine(training: Training, steps_per_epoch: int) -> tf.keras.optimizers.schedules.CosineDecay:
    """Linear warm-up to the recipe's learning rate, then half a cosine down to zero."""
    warmup = round(training.warmup_epochs * steps_per_epoch)
    return tf.keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else training.learning_rate,
        warmup_target=training.learning_rate if warmup else None,
        warmup_steps=warmup,
        decay_steps=max(1, training.epochs * steps_per_epoch - warmup),
    )


def fit(
    model: tf.keras.Model,
    data: EpochData,
    examples: int,
    loss: Loss,
    figure: Figure,
    training: Training,
    checkpoints: Path,
    title: str,
) -> float:
    """Trains ``model`` in place and leaves the weights of its best epoch in it.

    Args:
        model: built, with trainable variables.
        data: the examples and targets of an epoch, a pure function of its number, so that a
            resumed run sees what the uninterrupted one would have seen.
        examples: how many an epoch has.
        loss: mean loss of a batch from targets and outputs.
        figure: measured on validation after each epoch.
        training: the recipe.
        checkpoints: a folder of this recipe and this data alone; a killed run goes on from here.
        title: what the progress bar says.

    Returns:
        The validation figure of the best epoch.

    Raises:
        InputError: it diverged: no epoch ended with a finite loss and a finite figure.
    """
    batch_size = min(training.batch_size, examples)
    steps = examples // batch_size
    optimizer = tf.keras.optimizers.AdamW(
        cosine(training, steps), weight_decay=training.weight_decay
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    optimizer.build(model.trainable_variables)
    done = tf.Variable(0, dtype=tf.int64, trainable=False)
    best = tf.Variable(figure.worst, dtype=tf.float64, trainable=False)
    best_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    best_weights = [tf.Variable(v, trainable=False) for v in model.variables]
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(
            model=model,
            optimizer=optimizer,
            done=done,
            best=best,
            best_epoch=best_epoch,
            best_weights=best_weights,
        ),
        str(checkpoints),
        max_to_keep=2,
    )
    manager.restore_or_initialize()

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    last_saved = tf.timestamp()
    with progress(title, training.epochs, int(done)) as bar, ThreadPoolExecutor(1) as ahead:
        upcoming: Future[tuple[Float32, Float32]] | None = None
        while _goes_on(training, int(done), int(best_epoch)):
            x, y = upcoming.result() if upcoming is not None else data(int(done))
            # The next epoch is made meanwhile, but only where no figure of this one's can stop it.
            following = int(done) + 1
            surely = _goes_on(training, following, int(best_epoch))
            upcoming = ahead.submit(data, following) if surely else None
            total = 0.0
            for rows in _batches(len(x), batch_size):
                total += float(step(tf.constant(x[rows]), tf.constant(y[rows])))
            done.assign_add(1)
            value = figure.measure(model)
            # On a tie the later epoch wins: its learning rate was lower. No number never does, and
            # neither does an epoch whose loss is none: accuracy hides that the weights are NaN.
            usable = math.isfinite(total) and math.isfinite(value)
            if usable and not figure.better(float(best), value):
                best.assign(value)
                best_epoch.assign(done)
                for kept, variable in zip(best_weights, model.variables, strict=True):
                    kept.assign(variable)
            bar.advance(
                f"loss {total / steps:.4f}  {figure.name} {value:.4f}  best {float(best):.4f}"
            )
            if tf.timestamp() - last_saved > _CHECKPOINT_SECONDS:
                manager.save()
                last_saved = tf.timestamp()
    if not int(best_epoch):
        raise InputError(f"{title}: it diverged; lower training.learning_rate")
    manager.save()
    for kept, variable in zip(best_weights, model.variables, strict=True):
        variable.assign(kept)
    return float(best)


def _goes_on(training: Training, done: int, best_epoch: int) -> bool:
    """Whether there is another epoch after ``done`` of them."""
    if training.patience is not None and done - best_epoch >= training.patience:
        return False
    return done < training.epochs


def _batches(examples: int, size: int) -> Iterator[slice]:
    """Whole batches only: a short last one would be traced anew and count for more."""
    for start in range(0, examples - size + 1, size):
        yield slice(start, start + size)
