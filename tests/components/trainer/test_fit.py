"""The loop: it learns, keeps its best epoch, stops early, and goes on after being killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
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


class Killed(Exception):
    pass


class Scripted:
    """A figure of given values, one an epoch, and the weights each was measured on."""

    def __init__(self, *values: float) -> None:
        self._values = iter(values)
        self.weights: list[list[np.ndarray]] = []
        self.figure = Figure("error", self._measure, higher_is_better=False)

    def _measure(self, trained: tf.keras.Model) -> float:
        self.weights.append(trained.get_weights())
        return next(self._values)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_killed_run_remembers_its_best_epoch_and_how_long_ago_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        if epoch == 3:
            raise Killed
        return data(epoch)

    training = Training(epochs=30, batch_size=16, patience=3)
    first, second = Scripted(5.0, 1.0, 2.0), Scripted(3.0, 4.0)
    monkeypatch.setattr("components.trainer.fit._CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        fit(model(), dying, 64, mean_error, first.figure, training, tmp_path, "test")
    resumed = model()
    assert run(resumed, training, tmp_path, second.figure) == 1.0
    assert len(second.weights) == 2  # the patience of three counts the epoch before the kill
    assert same(resumed.get_weights(), first.weights[1])


def test_on_a_tie_the_later_epoch_wins(tmp_path: Path) -> None:
    scripted, trained = Scripted(2.0, 1.0, 1.0, 3.0), model()
    assert run(trained, Training(epochs=4, batch_size=16), tmp_path, scripted.figure) == 1.0
    assert same(trained.get_weights(), scripted.weights[2])


def test_a_training_that_diverges_keeps_the_epoch_before(tmp_path: Path) -> None:
    def diverging(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = data(epoch)
        return (x, y) if epoch < 2 else (x * np.float32("nan"), y)

    # As accuracy does, the figure makes a number of outputs that are none.
    scripted, trained = Scripted(2.0, 1.0, 1.0, 0.5), model()
    training = Training(epochs=4, batch_size=16)
    best = fit(trained, diverging, 64, mean_error, scripted.figure, training, tmp_path, "test")
    assert best == 1.0
    assert same(trained.get_weights(), scripted.weights[1])


@pytest.mark.parametrize(
    ("scale", "values"),
    [(np.nan, (2.0, 1.0)), (1.0, (float("nan"), float("inf")))],
    ids=["no loss", "no figure"],
)
def test_a_training_without_one_usable_epoch_is_an_error(
    tmp_path: Path, scale: float, values: tuple[float, ...]
) -> None:
    def scaled(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = data(epoch)
        return x * np.float32(scale), y

    figure = Scripted(*values).figure
    with pytest.raises(InputError, match=r"^tiny: it diverged; lower training.learning_rate$"):
        fit(
            model(),
            scaled,
            64,
            mean_error,
            figure,
            Training(epochs=2, batch_size=16),
            tmp_path,
            "tiny",
        )


@pytest.mark.parametrize(("patience", "epochs"), [(None, 6), (1, 2), (3, 4)])
def test_no_epoch_is_made_that_is_not_trained_on(
    tmp_path: Path, patience: int | None, epochs: int
) -> None:
    asked: list[int] = []

    def counting(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(epoch)
        return data(epoch)

    training = Training(epochs=6, batch_size=16, patience=patience)
    figure = Scripted(*(float(i) for i in range(6))).figure
    fit(model(), counting, 64, mean_error, figure, training, tmp_path, "test")
    assert asked == list(range(epochs))
    # Finished as it is, a second run takes the checkpoint and nothing else.
    fit(model(), counting, 64, mean_error, figure, training, tmp_path, "test")
    assert asked == list(range(epochs))


def test_weight_decay_leaves_biases_and_normalisation_alone(tmp_path: Path) -> None:
    layers = tf.keras.layers
    trained = tf.keras.Sequential(
        [layers.Dense(2, input_shape=(3,)), layers.BatchNormalization(), layers.Dense(1)]
    )
    for variable in trained.trainable_variables:
        variable.assign(tf.ones_like(variable))
    fit(
        trained,
        data,
        64,
        lambda y, outputs: 0 * tf.reduce_mean(outputs),  # nothing but the decay moves a weight
        Scripted(2.0, 1.0).figure,
        Training(epochs=2, batch_size=16, learning_rate=0.1, weight_decay=0.1),
        tmp_path,
        "test",
    )
    for variable in trained.trainable_variables:
        decayed = "kernel" in variable.name
        assert np.all(variable.numpy() < 1 if decayed else variable.numpy() == 1), variable.name


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
