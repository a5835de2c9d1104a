"""CooperationTuner: several bundles in, the file that says how they decide together out."""

from __future__ import annotations

from collections.abc import Sequence

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel, union
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import EdgeBundle, ModelEnsemble
from components.cooperation.executor import Executor
from components.pushing import this_moment


class CooperationTunerSpec(ComponentSpec):
    """See :class:`CooperationTuner`."""

    PARAMETERS = {
        "destination": ExecutionParameter(type=str),
        "reports": ExecutionParameter(type=str),
        "moment": ExecutionParameter(type=str),
    }
    INPUTS = {
        "bundles": ChannelParameter(type=EdgeBundle),
        "pushed": ChannelParameter(type=standard_artifacts.PushedModel),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"ensemble": ChannelParameter(type=ModelEnsemble)}


class CooperationTuner(BaseComponent):
    """Chooses on validation how several models decide together, and how much each weighs.

    Like a pusher it works in every run: ``<destination>/cooperation.json`` names the bundles that
    lie beside it by their very bytes, and appears when all of them lie there. The test split is
    read once, at the end, for the report.
    """

    SPEC_CLASS = CooperationTunerSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        bundles: Sequence[BaseChannel],
        pushed: Sequence[BaseChannel],
        examples: BaseChannel,
        destination: str,
        reports: str,
    ) -> None:
        """Wires the component.

        Args:
            bundles: of the members, as they are pushed.
            pushed: of the members' EdgePushers; a member that is not blessed is not pushed, and
                then there is no cooperation either.
            examples: the audio Examples.
            destination: the folder where the bundles are pushed.
            reports: a folder that outlives runs, for ``cooperation.json`` with the accuracy of
                every combination.
        """
        super().__init__(
            spec=CooperationTunerSpec(
                destination=destination,
                reports=reports,
                moment=this_moment(),
                bundles=union(bundles),
                pushed=union(pushed),
                examples=examples,
                ensemble=Channel(type=ModelEnsemble),
            )
        )
