"""Loads the Examples, trains, and writes the model in its two forms."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from filelock import FileLock
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components.errors import InputError
from components.specification import AudioSpecification, Specification, read_specification
from components.trainer.distill import check_teacher, taught
from components.trainer.export import export_forecaster, export_keyword_model
from components.trainer.fit import fit
from components.trainer.model_folder import read_model
from components.trainer.recipe import Recipe
from components.trainer.task import Task, load_task

# Of augmentation, losses and loop: counted up where the same recipe would train otherwise than
# before, so that no checkpoint of the earlier way is taken for one of the new.
_TRAINING = 1


class Executor(BaseExecutor):
    """See ``components.trainer.component.Trainer``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs one training; TFX calls it."""
        self._log_startup(input_dict, output_dict, exec_properties)
        specification = read_specification(
            artifact_utils.get_single_uri(input_dict["specification"])
        )
        audio = input_dict.get("audio")
        task = load_task(
            specification,
            artifact_utils.get_single_instance(input_dict["examples"]),
            artifact_utils.get_single_instance(audio) if audio else None,
        )
        recipe = Recipe.from_json(json.loads(exec_properties["recipe"]))
        teacher = None
        if input_dict.get("teacher"):
            folder = Path(artifact_utils.get_single_uri(input_dict["teacher"]))
            teacher = read_teacher(folder, task)
        # Versions that differ in their budgets alone share one training.
        folder = Path(exec_properties["checkpoints"]) / _key(recipe, task, teacher)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):  # two runs at once would tread on each other's files
            model = train(task, recipe, folder, f"training {exec_properties['name']}", teacher)
        write_model(
            model, recipe, specification, artifact_utils.get_single_uri(output_dict["model"])
        )


def train(
    task: Task,
    recipe: Recipe,
    checkpoints: Path,
    title: str,
    teacher: tf.keras.Model | None = None,
) -> tf.keras.Model:
    """A model trained by ``recipe``, from its checkpoint where there is one."""
    training = recipe.training
    tf.keras.utils.set_random_seed(training.seed)
    model = _build(task, recipe)
    data = task.epochs(training)
    if training.distillation is not None:
        if teacher is None:
            raise InputError(
                f"training.distillation.teacher is {training.distillation.teacher!r}, "
                "but the pipeline gives no model of it"
            )
        check_teacher(teacher, model, training.distillation.teacher)
        data = taught(data, teacher, training.distillation)
    fit(
        model,
        data,
        len(task.train.inputs),
        task.loss(training),
        task.figure(),
        training,
        checkpoints,
        title,
    )
    if not training.mixed_precision:
        return model
    exact = task.build(recipe.architecture)
    exact.set_weights(model.get_weights())
    return exact


def read_teacher(folder: Path, task: Task) -> tf.keras.Model:
    """The model of a Model artifact, computing in the precision it was trained in."""
    kept, recipe = read_model(folder)
    if not recipe.training.mixed_precision:
        return kept
    model = _build(task, recipe)
    check_teacher(kept, model, folder.name)
    model.set_weights(kept.get_weights())
    return model


def _build(task: Task, recipe: Recipe) -> tf.keras.Model:
    if recipe.training.mixed_precision:
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        return task.build(recipe.architecture)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


def write_model(
    model: tf.keras.Model, recipe: Recipe, specification: Specification, uri: str
) -> None:
    """Fills a Model artifact's folder."""
    serving = path_utils.serving_model_dir(uri)
    if isinstance(specification, AudioSpecification):
        export_keyword_model(model, specification, serving)
    else:
        export_forecaster(model, specification, serving)
    keras = Path(uri) / "keras"
    keras.mkdir()
    model.save(keras / "model.keras")
    (Path(uri) / "recipe.json").write_text(json.dumps(recipe.to_json(), indent=1))


def _key(recipe: Recipe, task: Task, teacher: tf.keras.Model | None) -> str:
    """Tells trainings apart: recipe, architecture, specification, the very numbers, teacher.

    A checkpoint found by it may be of an earlier release, so the drawn architecture counts beside
    its name; how it is trained counts as ``_TRAINING``.
    """
    digest = hashlib.sha256()
    drawn = _architecture(_build(task, recipe))
    for part in (_TRAINING, recipe.to_json(), drawn, task.specification.to_json()):
        digest.update(json.dumps(part, sort_keys=True).encode())
    for split in (task.train, task.validation):
        digest.update(split.inputs.tobytes())
        digest.update(split.targets.tobytes())
    for weights in teacher.get_weights() if teacher is not None else ():
        digest.update(weights.tobytes())
    return digest.hexdigest()[:16]


def _architecture(model: tf.keras.Model) -> Any:
    """A model's configuration with its layers numbered.

    Keras counts names through a process, so those of a second model of one kind differ.
    """
    numbers = {layer.name: str(i) for i, layer in enumerate((model, *model.layers))}

    def numbered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: numbered(item) for key, item in value.items()}
        if isinstance(value, list):
            return [numbered(item) for item in value]
        return numbers.get(value, value) if isinstance(value, str) else value

    return numbered(json.loads(model.to_json())["config"])
