"""The last stages of both DAGs: from a trained model to a device, or to the server."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict

from tfx import v1 as tfx
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types.channel import BaseChannel

from components.compression.component import Compression
from components.constraint_evaluator.component import ConstraintEvaluator
from components.constraint_evaluator.device_measurements import read_measurements
from components.deferral.component import DeferralTuner
from components.edge_pusher.component import EdgePusher
from components.errors import InputError
from components.serving_evaluator.component import ServingEvaluator
from components.serving_pusher.component import ServingPusher
from components.trainer.component import Trainer
from components.version import Version, to_json
from pipeline.settings import Settings

_DOCKER_SECONDS = 5
_SERVING_TAG = "latest"


def to_the_edge(
    version: Version,
    settings: Settings,
    trainer: Trainer,
    examples: BaseChannel,
    specification: BaseChannel,
    measured_on: BaseChannel,
    audio: BaseChannel | None = None,
    big: Trainer | None = None,
) -> list[BaseComponent]:
    """Compression, verdict, deferral and push of one version.

    Args:
        version: what is made.
        settings: where it is pushed.
        trainer: of this version.
        examples: features or windows it was trained on.
        specification: of those.
        measured_on: what the evaluator predicts, as a device meets it: clips or windows.
        audio: the clips behind ``examples``, for fine-tuning; records have none.
        big: of the version that this one asks where it is in doubt.
    """
    compression = Compression(
        name=version.name,
        model=trainer.outputs["model"],
        examples=examples,
        audio=audio,
        specification=specification,
        recipes=to_json(version.compression),
    ).with_id(f"Compression.{version.name}")
    evaluator = ConstraintEvaluator(
        candidates=compression.outputs["candidates"],
        examples=measured_on,
        specification=specification,
        name=version.name,
        version=version.version,
        budgets=json.dumps(version.budgets),
        reports=str(settings.reports),
        measurements=device_measurements(version, settings),
    ).with_id(f"ConstraintEvaluator.{version.name}")
    components: list[BaseComponent] = [compression, evaluator]
    judged: BaseComponent = evaluator
    if version.deferral is not None or version.fast is not None:
        judged = DeferralTuner(
            name=version.name,
            settings=json.dumps(
                {
                    "deferral": asdict(version.deferral) if version.deferral else None,
                    "fast": asdict(version.fast) if version.fast else None,
                },
                sort_keys=True,
            ),
            reports=str(settings.tuning),
            bundle=evaluator.outputs["bundle"],
            blessing=evaluator.outputs["blessing"],
            examples=measured_on,
            model=big.outputs["model"] if big else None,
        ).with_id(f"DeferralTuner.{version.name}")
        components.append(judged)
    pusher = EdgePusher(
        bundle=judged.outputs["bundle"],
        blessing=judged.outputs["blessing"],
        destination=str(settings.push),
        registry=settings.registry.to_json() if settings.registry else "",
    ).with_id(f"EdgePusher.{version.name}")
    return [*components, pusher]


def device_measurements(version: Version, settings: Settings) -> str:
    """What devices measured of this version's candidates; empty where none are asked."""
    if settings.measurements is None:
        return ""
    try:
        return read_measurements(settings.measurements, version.name)
    except InputError as error:
        raise InputError(f"ML4IOT_DEVICE_MEASUREMENTS: {error}") from None


def to_the_server(
    version: Version, settings: Settings, trainer: Trainer, clips: BaseChannel
) -> list[BaseComponent]:
    """Verdict and push of a model that is served: ``<models>/<version name>/<number>/``.

    Where a Docker engine has TensorFlow Serving's image, that has to load the model first (TFX's
    InfraValidator knows TensorFlow Serving as a container only).
    """
    model = trainer.outputs["model"]
    evaluator = ServingEvaluator(
        model=model,
        examples=clips,
        name=version.name,
        version=version.version,
        budgets=json.dumps(version.budgets),
        reports=str(settings.reports),
    ).with_id(f"ServingEvaluator.{version.name}")
    components: list[BaseComponent] = [evaluator]
    infra_blessing = None
    if _has_serving_image():
        validator = tfx.components.InfraValidator(
            model=model,
            serving_spec=tfx.proto.ServingSpec(
                tensorflow_serving=tfx.proto.TensorFlowServing(tags=[_SERVING_TAG]),
                local_docker=tfx.proto.LocalDockerConfig(),
            ),
        ).with_id(f"InfraValidator.{version.name}")
        components.append(validator)
        infra_blessing = validator.outputs["blessing"]
    pusher = ServingPusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_blessing,
        base_directory=str(settings.models / version.name),
    ).with_id(f"Pusher.{version.name}")
    components.append(pusher)
    return components


def _has_serving_image() -> bool:
    """Whether the image is here already: a run must not depend on a registry that answers."""
    try:
        asked = subprocess.run(
            ["docker", "image", "inspect", f"tensorflow/serving:{_SERVING_TAG}"],
            capture_output=True,
            timeout=_DOCKER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def assemble(settings: Settings, components: list[BaseComponent]) -> tfx.dsl.Pipeline:
    """A pipeline whose finished components are taken from the cache when it is run again."""
    metadata = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(settings.metadata))
    return tfx.dsl.Pipeline(
        pipeline_name=settings.name,
        pipeline_root=str(settings.root),
        components=components,
        enable_cache=True,
        metadata_connection_config=metadata,
        # One worker in this process is the fastest for data of this size.
        beam_pipeline_args=["--direct_running_mode=in_memory", "--direct_num_workers=1"],
    )
