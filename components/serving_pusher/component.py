"""ServingPusher: a blessed SavedModel in, a version that TensorFlow Serving takes up out."""

from __future__ import annotations

from tfx.components import Pusher
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.proto.pusher_pb2 import PushDestination
from tfx.types.channel import BaseChannel

from components.pushing import this_moment
from components.serving_pusher.executor import Executor


class ServingPusher(Pusher):
    """TFX's Pusher with an executor that no kill and no full disk makes leave half a version.

    Half a version with the highest number is the one TensorFlow Serving would try to load.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        model_blessing: BaseChannel,
        base_directory: str,
        infra_blessing: BaseChannel | None = None,
    ) -> None:
        """Wires the component.

        Args:
            model: of the Trainer.
            model_blessing: of the ServingEvaluator.
            base_directory: gets ``<number>/``, the number being the unix time of the push.
            infra_blessing: of TFX's InfraValidator.
        """
        super().__init__(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=PushDestination(
                filesystem=PushDestination.Filesystem(base_directory=base_directory)
            ),
            custom_config={"moment": this_moment()},
        )
