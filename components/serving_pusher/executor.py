"""Refuses what is not blessed, pushes what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx.components.pusher import executor as tfx_pusher
from tfx.proto.pusher_pb2 import PushDestination
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils, proto_utils

from components.pushing import PushError
from components.serving_pusher.push import push_version


class Executor(tfx_pusher.Executor):
    """See ``components.serving_pusher.component.ServingPusher``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes one SavedModel; TFX calls it.

        Raises:
            PushError: the model is not blessed, or could not be written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        destination = PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        base = Path(destination.filesystem.base_directory)
        model = self.GetModelPath(input_dict)
        if not self.CheckBlessing(input_dict):
            raise PushError(
                f"{base}: nothing pushed, for the model is not blessed or TensorFlow Serving "
                "could not load it; the log says which"
            )
        version = push_version(Path(model), base)
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        io_utils.copy_dir(model, pushed.uri)
        self._MarkPushed(pushed, str(version), version.name)
