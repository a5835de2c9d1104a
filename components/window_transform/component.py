"""WindowTransform: what goes in and out."""

from __future__ import annotations

from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples

from components.artifacts import DataApproval, FeatureSpecification
from components.window_transform.executor import Executor, parse_window


class WindowTransformSpec(ComponentSpec):
    """See :class:`WindowTransform`."""

    PARAMETERS = {"window": ExecutionParameter(type=str)}
    INPUTS = {
        "examples": ChannelParameter(type=Examples),
        "approval": ChannelParameter(type=DataApproval, optional=True),
    }
    OUTPUTS = {
        "transformed_examples": ChannelParameter(type=Examples),
        "specification": ChannelParameter(type=FeatureSpecification),
    }


class WindowTransform(BaseBeamComponent):
    """Record Examples to window Examples and their specification.

    An Example of ``outputs['transformed_examples']`` holds ``window`` and ``target``
    (little-endian float32, ``[input_steps * quantities]`` and ``[output_steps * quantities]``,
    step after step, both in physical units) and ``time``, unix seconds of the last input record.
    A window spans neither a gap nor a missing value nor the border of two splits.
    ``outputs['specification']`` holds the window, and mean and deviation of every quantity over
    the complete records of the train split.
    """

    SPEC_CLASS = WindowTransformSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self, examples: BaseChannel, window: str, approval: BaseChannel | None = None
    ) -> None:
        """Checks the window at once, so that a fault in it costs no run.

        Args:
            examples: of RecordExampleGen, each split in order of time.
            window: ``edge_client.features.spec.RecordWindow`` as JSON.
            approval: of the data gate; the transform waits for it.

        Raises:
            InputError: ``window`` is not understood.
        """
        parse_window(window)
        super().__init__(
            spec=WindowTransformSpec(
                examples=examples,
                window=window,
                approval=approval,
                transformed_examples=Channel(type=Examples),
                specification=Channel(type=FeatureSpecification),
            )
        )
