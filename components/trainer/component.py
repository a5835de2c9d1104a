"""Trainer: features (and audio, for augmentation) in, a Keras model and its SavedModel out."""

from __future__ import annotations

import json

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import FeatureSpecification
from components.errors import InputError
from components.trainer.executor import Executor
from components.trainer.models import check_architecture
from components.trainer.recipe import Recipe


class TrainerSpec(ComponentSpec):
    """See :class:`Trainer`."""

    PARAMETERS = {
        "name": ExecutionParameter(type=str),
        "recipe": ExecutionParameter(type=str),
        "checkpoints": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "specification": ChannelParameter(type=FeatureSpecification),
        "audio": ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "teacher": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}


class Trainer(BaseComponent):
    """Trains one version's model.

    The output folder holds ``Format-Serving`` (the SavedModel TensorFlow Serving reads, raw audio
    or raw records in), ``keras/model.keras`` (for Compression) and ``recipe.json``.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        name: str,
        recipe: str,
        checkpoints: str,
        examples: BaseChannel,
        specification: BaseChannel,
        audio: BaseChannel | None = None,
        teacher: BaseChannel | None = None,
    ) -> None:
        """Checks the architecture, so that a mistake shows before any training.

        Args:
            name: of the version, for the progress bar.
            recipe: ``components.trainer.recipe.Recipe`` as JSON.
            checkpoints: a folder that outlives runs; a killed training goes on from there.
            examples: features or windows, with train and validation splits.
            specification: what the transform says of them.
            audio: the clips the features were computed from, for augmentation.
            teacher: the model of the version that ``recipe`` names for distillation.

        Raises:
            InputError: the recipe's architecture cannot be built.
        """
        wanted = Recipe.from_json(json.loads(recipe)).architecture
        try:
            check_architecture(wanted, "forecasting" if audio is None else "keyword spotting")
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        super().__init__(
            spec=TrainerSpec(
                name=name,
                recipe=recipe,
                checkpoints=checkpoints,
                examples=examples,
                specification=specification,
                audio=audio,
                teacher=teacher,
                model=Channel(type=standard_artifacts.Model),
            )
        )
