"""One training from task to model: keys of checkpoints, teachers, mixed precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.specification import AudioSpecification
from components.trainer import executor
from components.trainer.executor import read_teacher, train, write_model
from components.trainer.fit import Figure
from components.trainer.models import KEYWORD_MODELS, build_keyword_model
from components.trainer.recipe import Architecture, Distillation, Recipe, Training
from components.trainer.task import Split
from edge_client.features.spec import AudioFeatures, Standardisation

FEATURES = AudioFeatures(
    "log_mel", mel_bins=6, frame_length_ms=200, frame_step_ms=200, high_hz=7600
)
SPECIFICATION = AudioSpecification(FEATURES, Standardisation((0.0,) * 6, (1.0,) * 6), ("a", "b"))


def split(seed: int) -> Split:
    """Two classes that lie apart along every bin."""
    random = np.random.default_rng(seed)
    label = np.arange(64) % 2
    inputs = random.normal(size=(64, *FEATURES.shape, 1)) + (2 * label - 1)[:, None, None, None]
    return Split(inputs.astype(np.float32), np.eye(2, dtype=np.float32)[label])


TRAIN, VALIDATION = split(1), split(2)


@dataclass(frozen=True)
class ReadyTask:
    """A keyword task whose features are already there."""

    specification: AudioSpecification = SPECIFICATION
    train: Split = TRAIN
    validation: Split = VALIDATION

    def build(self, architecture: Architecture) -> tf.keras.Model:
        labels = len(self.specification.labels)
        return build_keyword_model(architecture, self.specification.features.shape, labels)

    def epochs(self, training: Training) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
        return lambda number: (self.train.inputs, self.train.targets)

    def loss(self, training: Training) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        return tf.keras.losses.CategoricalCrossentropy(from_logits=True)

    def figure(self) -> Figure:
        def accuracy(model: tf.keras.Model) -> float:
            right = model(self.validation.inputs).numpy().argmax(-1)
            return float(np.mean(right == self.validation.targets.argmax(-1)))

        return Figure("accuracy", accuracy, higher_is_better=True)


RECIPE = Recipe(
    Architecture("mlp_1", width=0.05), Training(epochs=4, batch_size=8, learning_rate=0.02)
)
MIXED = replace(RECIPE, training=replace(RECIPE.training, mixed_precision=True))
TAUGHT = replace(
    RECIPE, training=replace(RECIPE.training, distillation=Distillation("big", weight=1.0))
)


def key(recipe: Recipe = RECIPE, task: ReadyTask = ReadyTask(), teacher=None) -> str:
    return executor._key(recipe, task, teacher)


def test_the_same_training_has_the_same_key_however_many_models_were_drawn_before() -> None:
    first = key()
    tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)])
    assert key() == first


def test_everything_that_decides_a_training_is_in_its_key(monkeypatch) -> None:
    task, teachers = ReadyTask(), [ReadyTask().build(RECIPE.architecture) for _ in range(2)]
    wider = replace(RECIPE, architecture=replace(RECIPE.architecture, width=0.06))
    moved = AudioSpecification(FEATURES, Standardisation((1.0,) * 6, (1.0,) * 6), ("a", "b"))
    seen = [
        key(),
        key(wider),
        key(MIXED),
        key(task=replace(task, specification=moved)),
        key(task=replace(task, train=split(3))),
        key(task=replace(task, validation=split(3))),
        *(key(teacher=teacher) for teacher in teachers),
    ]
    monkeypatch.setattr(executor, "_TRAINING", 0)
    seen.append(key())
    assert len(set(seen)) == len(seen)


def test_an_architecture_drawn_otherwise_under_its_name_has_another_key(monkeypatch) -> None:
    before = key()
    layers = tf.keras.layers

    builder = KEYWORD_MODELS["mlp_1"]

    def redrawn(x, width):  # a release later: as many weights, of the same shapes
        return layers.Activation("tanh")(builder(x, width))

    monkeypatch.setitem(KEYWORD_MODELS, "mlp_1", redrawn)
    assert key() != before


def test_a_student_learns_its_teachers_answers_not_the_labels(tmp_path: Path) -> None:
    task = ReadyTask()
    teacher = train(task, RECIPE, tmp_path / "teacher", "teacher")
    assert task.figure().measure(teacher) > 0.9
    contrary = tf.keras.Model(teacher.input, -teacher.output)
    # The figure that decides asks how the student agrees with its teacher: all of its labels say
    # otherwise.
    answers = contrary(task.validation.inputs).numpy().argmax(-1)
    disagreeing = replace(
        task, validation=Split(task.validation.inputs, np.eye(2, dtype=np.float32)[answers])
    )
    student = train(disagreeing, TAUGHT, tmp_path / "student", "student", contrary)
    assert disagreeing.figure().measure(student) > 0.9
    assert task.figure().measure(student) < 0.1


def test_a_distillation_without_its_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"teacher is 'big', but the pipeline gives no model"):
        train(ReadyTask(), TAUGHT, tmp_path, "student")


@pytest.mark.parametrize("recipe", [RECIPE, MIXED], ids=["float32", "bfloat16"])
def test_a_teacher_computes_in_the_precision_it_was_trained_in(
    tmp_path: Path, recipe: Recipe
) -> None:
    task = ReadyTask()
    model = train(task, recipe, tmp_path / "checkpoints", "teacher")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}  # as it is shipped
    assert task.figure().measure(model) > 0.9
    write_model(model, recipe, SPECIFICATION, str(tmp_path / "model"))
    teacher = read_teacher(tmp_path / "model", task)
    inner = "bfloat16" if recipe is MIXED else "float32"
    hidden = [layer.compute_dtype for layer in teacher.layers if layer.weights][:-1]
    assert set(hidden) == {inner}
    assert teacher.layers[-1].compute_dtype == "float32"
    for kept, given in zip(model.get_weights(), teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, given)
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    scores = model(task.validation.inputs).numpy()
    np.testing.assert_allclose(teacher(task.validation.inputs).numpy(), scores, atol=0.2)


def test_a_mixed_teacher_of_another_task_is_refused(tmp_path: Path) -> None:
    task = ReadyTask()
    write_model(task.build(MIXED.architecture), MIXED, SPECIFICATION, str(tmp_path / "model"))
    three = replace(task, specification=replace(SPECIFICATION, labels=("a", "b", "c")))
    with pytest.raises(InputError, match=r"model has the output shape \(None, 2\), .*\(None, 3\)"):
        read_teacher(tmp_path / "model", three)
