"""MfccTransform: what goes in and out."""

from __future__ import annotations

from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples

from components.artifacts import DataApproval, FeatureSpecification
from components.mfcc_transform.executor import Executor, parse_features


class MfccTransformSpec(ComponentSpec):
    """See :class:`MfccTransform`."""

    PARAMETERS = {"features": ExecutionParameter(type=str)}
    INPUTS = {
        "examples": ChannelParameter(type=Examples),
        "approval": ChannelParameter(type=DataApproval, optional=True),
    }
    OUTPUTS = {
        "transformed_examples": ChannelParameter(type=Examples),
        "specification": ChannelParameter(type=FeatureSpecification),
    }


class MfccTransform(BaseBeamComponent):
    """Audio Examples to feature Examples (MFCC, log-mel or STFT) and their specification.

    An Example of ``outputs['transformed_examples']`` holds ``features`` (little-endian float32,
    ``[frames * bins]``, not standardised), ``label``, ``path`` and ``speaker``.
    ``outputs['specification']`` holds the recipe, mean and deviation of every bin and the labels,
    all of the train split.
    """

    SPEC_CLASS = MfccTransformSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self, examples: BaseChannel, features: str, approval: BaseChannel | None = None
    ) -> None:
        """Checks the recipe at once, so that a fault in it costs no run.

        Args:
            examples: of AudioExampleGen.
            features: ``edge_client.features.spec.AudioFeatures`` as JSON.
            approval: of the data gate; the transform waits for it.

        Raises:
            InputError: ``features`` cannot be computed.
        """
        parse_features(features)
        super().__init__(
            spec=MfccTransformSpec(
                examples=examples,
                features=features,
                approval=approval,
                transformed_examples=Channel(type=Examples),
                specification=Channel(type=FeatureSpecification),
            )
        )
