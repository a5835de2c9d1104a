"""EdgePusher: a blessed bundle in, a signed one in the registry and a file in a folder out."""

from __future__ import annotations

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import EdgeBundle
from components.edge_pusher.executor import Executor
from components.pushing import this_moment


class EdgePusherSpec(ComponentSpec):
    """See :class:`EdgePusher`."""

    PARAMETERS = {
        "destination": ExecutionParameter(type=str),
        "registry": ExecutionParameter(type=str),
        "moment": ExecutionParameter(type=str),
    }
    INPUTS = {
        "bundle": ChannelParameter(type=EdgeBundle),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS = {"pushed": ChannelParameter(type=standard_artifacts.PushedModel)}


class EdgePusher(BaseComponent):
    """Pushes a bundle into the registry and into a folder, and only a blessed one.

    The output artifact carries the properties that TFX's own Pusher sets: ``pushed``,
    ``pushed_destination`` and ``pushed_version``; of a push to the registry also
    ``pushed_registry``, ``pushed_channel`` and ``serial``, that of the channels, which devices
    are told.
    """

    SPEC_CLASS = EdgePusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self, bundle: BaseChannel, blessing: BaseChannel, destination: str, registry: str = ""
    ) -> None:
        """Wires the component.

        Args:
            bundle: of the ConstraintEvaluator.
            blessing: of the same ConstraintEvaluator; it must be for this very bundle.
            destination: the folder; made where it is missing.
            registry: JSON of a ``components.edge_pusher.registry.RegistryTarget``; empty for none.
        """
        super().__init__(
            spec=EdgePusherSpec(
                bundle=bundle,
                blessing=blessing,
                destination=destination,
                registry=registry,
                moment=this_moment(),
                pushed=Channel(type=standard_artifacts.PushedModel),
            )
        )
