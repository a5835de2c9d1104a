"""Refuses what is not blessed, pushes what is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from absl import logging
from tfx.components.util import model_utils
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.blessing import blessed_sha256
from components.edge_pusher.push import push
from components.edge_pusher.registry import RegistryTarget
from components.edge_pusher.upload import push_signed
from components.pushing import PushError
from edge_client.bundle import BundleError, read_bundle


class Executor(BaseExecutor):
    """See ``components.edge_pusher.component.EdgePusher``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes one bundle; TFX calls it.

        Raises:
            PushError: the bundle is missing, damaged, not blessed, or could not be pushed.
            InputError: a file needed for the push to the registry is not what it should be.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        folder = Path(artifact_utils.get_single_uri(input_dict["bundle"]))
        blessing = artifact_utils.get_single_instance(input_dict["blessing"])
        if not model_utils.is_model_blessed(blessing):
            raise PushError(
                f"{folder}: not pushed, for its version is not blessed; "
                "the ConstraintEvaluator's report says which budget it misses"
            )
        path, data = _only_bundle(folder)
        if blessed_sha256(blessing) != hashlib.sha256(data).hexdigest():
            raise PushError(
                f"{path}: not pushed, for the blessing is of another bundle; "
                "wire bundle and blessing from the same ConstraintEvaluator"
            )
        try:
            manifest = read_bundle(data).manifest
        except BundleError as error:
            raise PushError(f"{path}: not pushed, for a device would refuse it: {error}") from None
        pushed = artifact_utils.get_single_instance(output_dict["pushed"])
        if exec_properties["registry"]:
            # First, for it is the one that can refuse: then nothing was pushed anywhere.
            registry = RegistryTarget.of(exec_properties["registry"])
            receipt = push_signed(registry, data, manifest)
            logging.info("%s %s: in %s", manifest.name, manifest.version, registry.url)
            pushed.set_string_custom_property("pushed_registry", registry.url)
            pushed.set_string_custom_property("pushed_channel", receipt.channel)
            pushed.set_int_custom_property("serial", receipt.serial)
        target = push(data, path.stem, Path(exec_properties["destination"]))
        # The names are those of TFX's own Pusher.
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_string_custom_property("pushed_destination", str(target))
        pushed.set_string_custom_property("pushed_version", manifest.version)


def _only_bundle(folder: Path) -> tuple[Path, bytes]:
    paths = list(folder.glob("*.bundle"))
    if len(paths) != 1:
        raise PushError(f"{folder}: holds {len(paths)} bundles, not one; run the pipeline again")
    return paths[0], paths[0].read_bytes()
