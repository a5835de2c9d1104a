"""DataGate: what goes in and out."""

from __future__ import annotations

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import DataApproval
from components.data_gate.executor import Executor


class DataGateSpec(ComponentSpec):
    """See :class:`DataGate`."""

    PARAMETERS: dict[str, ExecutionParameter] = {}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "drift": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
    }
    OUTPUTS = {"approval": ChannelParameter(type=DataApproval)}


class DataGate(BaseComponent):
    """Passes data without anomalies: ``outputs['approval']``; fails the run for any other."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        statistics: BaseChannel,
        schema: BaseChannel,
        anomalies: BaseChannel,
        drift: BaseChannel,
    ) -> None:
        """The gate behind TFDV's components; ``dag.validation`` wires all of them.

        Args:
            examples: what was validated, read only to name what is out of range.
            statistics: of StatisticsGen.
            schema: whose bounds the values are held to.
            anomalies: of ExampleValidator.
            drift: of DistributionValidator.
        """
        super().__init__(
            spec=DataGateSpec(
                examples=examples,
                statistics=statistics,
                schema=schema,
                anomalies=anomalies,
                drift=drift,
                approval=Channel(type=DataApproval),
            )
        )
