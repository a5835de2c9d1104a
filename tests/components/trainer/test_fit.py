"""The loop: it learns, keeps its best epoch, stops early, and goes on after being killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.fit import Figure, cosine, fit
from components.trainer.recipe import Training


def data(epoch: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng((7, epoch))
    x = random.normal(size=(64, 3)).astype(np.float32)
    return x, x @ np.float32([[1.0], [-2.0], [0.5]])


def model() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    return tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(3,))])


def error_of(x: np.ndarray, y: np.ndarray) -> Figure:
    return Figure("error", lambda m: float(np.mean(np.abs(m(x) - y))), higher_is_better=False)


def mean_error(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.abs(targets - outputs))


def run(trained: tf.keras.Model, training: Training, folder: Path, figure: Figure) -> float:
    return fit(trained, data, 64, mean_error, figure, training, folder, "test")


TRAINING = Training(epochs=30, batch_size=16, learning_rate=0.1)


def test_it_learns_and_returns_the_best_figure(tmp_path: Path) -> None:
    trained, figure = model(), error_of(*data(999))
    before = figure.measure(trained)
    best = run(trained, TRAINING, tmp_path, figure)
    assert best < 0.1 * before
    assert figure.measure(trained) == pytest.approx(best)


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    figure = error_of(*data(999))
    seen: list[int] = []

    def dying(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        seen.append(epoch)
        if epoch == 12:
            raise Killed
        return data(epoch)

    whole = model()
    uninterrupted = run(whole, TRAINING, tmp_path / "whole", figure)
    # A checkpoint after every epoch, as if each took longer than the seconds between two.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.trainer.fit._CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(Killed):
            fit(model(), dying, 64, mean_error, figure, TRAINING, tmp_path / "cut", "test")
    resumed = model()
    seen.clear()

    def counting(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        seen.append(epoch)
        return data(epoch)

    best = fit(resumed, counting, 64, mean_error, figure, TRAINING, tmp_path / "cut", "test")
    assert seen[0] == 12
    assert best == pytest.approx(uninterrupted, rel=1e-5)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_patience_ends_a_training_that_no_longer_improves(tmp_path: Path) -> None:
    calls = []

    def getting_worse(m: tf.keras.Model) -> float:
        calls.append(1)
        return float(len(calls))

    figure = Figure("error", getting_worse, higher_is_better=False)
    best = run(model(), Training(epochs=30, batch_size=16, patience=4), tmp_path, figure)
    assert best == 1.0
    assert len(calls) == 5


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    values = iter([3.0, 2.0, float("nan"), 4.0])
    figure = Figure("error", lambda m: next(values), higher_is_better=False)
    assert run(model(), Training(epochs=4, batch_size=16), tmp_path, figure) == 2.0


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    schedule = cosine(Training(epochs=10, learning_rate=0.5, warmup_epochs=2), 100)
    values = [float(schedule(step)) for step in (0, 100, 200, 600, 1000)]
    np.testing.assert_allclose(values, [0, 0.25, 0.5, 0.25, 0], atol=1e-4)
