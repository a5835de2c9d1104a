"""Compression: a trained model in, one candidate file for each recipe out."""

from __future__ import annotations

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import Candidates, FeatureSpecification
from components.compression.executor import Executor, read_recipes


class CompressionSpec(ComponentSpec):
    """See :class:`Compression`."""

    PARAMETERS = {"recipes": ExecutionParameter(type=str)}
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "specification": ChannelParameter(type=FeatureSpecification),
        "audio": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {"candidates": ChannelParameter(type=Candidates)}


class Compression(BaseComponent):
    """Makes the candidates of one version's model.

    The output folder holds ``<recipe>/candidate.json`` and beside it ``model.tflite`` or
    ``model.tflite.zlib`` for each recipe.
    """

    SPEC_CLASS = CompressionSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        name: str,
        recipes: str,
        model: BaseChannel,
        examples: BaseChannel,
        specification: BaseChannel,
        audio: BaseChannel | None = None,
    ) -> None:
        """Checks the recipes, so that a mistake shows before the training.

        Args:
            name: of the version, for messages.
            recipes: a list of ``components.version.CompressionRecipe`` as JSON.
            model: the Trainer's.
            examples: features or windows, for representative sets and fine-tuning.
            specification: what the transform says of them.
            audio: the clips the features were computed from; keyword models need them.

        Raises:
            InputError: a recipe cannot be run.
        """
        read_recipes(recipes, f"{name}: compression")
        super().__init__(
            spec=CompressionSpec(
                recipes=recipes,
                model=model,
                examples=examples,
                specification=specification,
                audio=audio,
                candidates=Channel(type=Candidates),
            )
        )
