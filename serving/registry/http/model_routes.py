"""Models, their versions and channels: list, describe, download, push, activate, retire."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from edge_client.fleet.channel import ChannelState
from serving.registry.errors import BadRequestError, ForbiddenError
from serving.registry.http.access import Operator, Pusher, TheRegistry, the_registry
from serving.registry.http.front import MAX_PUSH_BYTES
from serving.registry.http.schemas import (
    PATTERN,
    BudgetMet,
    ChannelName,
    ModelName,
    Name,
    Strict,
    VersionName,
    errors,
)
from serving.registry.http.tuf_routes import DirectRoute, file_responses, serve_file
from serving.registry.tuf.files import BYTES
from serving.registry.tuf.push import parse_targets
from serving.registry.tuf.store import Model, Version

PUSH_CHANNEL = "canary"  # the one that a token of role push may move
router = APIRouter(tags=["models"])
downloads = APIRouter(tags=["models"], route_class=DirectRoute)


class RolloutView(BaseModel):
    """A version that only some devices are to have as yet."""

    id: str
    version: str
    devices: list[str]
    share: float


class ChannelView(BaseModel):
    """What a channel offers."""

    channel: str
    version: str | None
    rollout: RolloutView | None


class VersionView(BaseModel):
    """One version: who pushed it, when and from where, and what was proven of it."""

    model: str
    version: str
    sha256: str = Field(description="Of the bundle.")
    bytes: int = Field(description="Of the bundle.")
    retired: bool = Field(description="No channel can offer it any more.")
    channels: list[str] = Field(description="That offer it to all.")
    pushed_by: str
    pushed_at: str
    pipeline: str
    run_id: str
    budgets: list[BudgetMet]


class ModelView(BaseModel):
    """A model; versions in the order in which they were pushed."""

    name: str
    versions: list[VersionView]
    channels: list[ChannelView]


class Models(BaseModel):
    """All models, by name."""

    models: list[ModelView]


class Push(Strict):
    """A bundle, and the signed metadata that names it."""

    bundle: Annotated[
        str,
        Field(
            description="In base64.",
            max_length=MAX_PUSH_BYTES,
            json_schema_extra={"contentEncoding": "base64", "format": "byte"},
        ),
    ]
    targets: dict[str, Any] = Field(
        description="Targets metadata of The Update Framework: the registry's own of the moment, "
        "one version on and with the bundle's entry, signed by its targets keys."
    )
    channel: Name | None = Field(None, description="That is to offer the version at once.")


class PushedView(BaseModel):
    """What the registry has."""

    model: str
    version: str
    sha256: str
    bytes: int
    channel: str | None
    serial: int = Field(description="Of what the channels offer.")


class Activation(Strict):
    """Which version a channel is to offer to all."""

    version: Name


class Activated(BaseModel):
    """Done."""

    serial: int = Field(description="Of what the channels offer.")


class Retired(BaseModel):
    """Done."""

    model: str
    version: str
    retired: bool


@router.get("/models")
def list_models(registry: TheRegistry) -> Models:
    """All models, with their versions and channels."""
    return Models(models=[_model_view(model) for model in registry.store.models()])


@router.get("/models/{model}", responses=errors(404))
def describe_model(registry: TheRegistry, model: ModelName) -> ModelView:
    """One model."""
    return _model_view(registry.store.model(model))


@router.get("/models/{model}/versions/{version}", responses=errors(404))
def describe_version(registry: TheRegistry, model: ModelName, version: VersionName) -> VersionView:
    """One version."""
    found = registry.store.version(model, version)
    return _version_view(found, registry.store.model(model).channels)


@downloads.get(
    "/models/{model}/versions/{version}/bundle",
    responses=file_responses(BYTES) | errors(),
    response_class=Response,
    openapi_extra={
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": PATTERN},
            }
            for name in ("model", "version")
        ]
    },
)
async def download(request: Request) -> Response:
    """The bundle. Devices fetch it with its metadata instead, and verify it."""
    wanted = request.path_params
    registry = await the_registry(request)
    found = registry.store.version(wanted["model"], wanted["version"])
    return await serve_file(request, found.file)


@router.put(
    "/models/{model}/versions/{version}",
    status_code=201,
    responses=errors(401, 403, 408, 409, 413, 429, 507)
    | {200: {"model": PushedView, "description": "The very same was there already."}},
)
def push(
    registry: TheRegistry,
    holder: Pusher,
    model: ModelName,
    version: VersionName,
    body: Push,
    response: Response,
) -> PushedView:
    """Takes a signed bundle, and makes a channel offer it where one is named.

    Whoever pushes takes the registry's targets metadata, adds the bundle, signs the next version
    and sends both. Where somebody else was faster, the answer is 409: fetch it and sign again.
    """
    _check_channel(holder.role, body.channel)
    try:
        bundle = base64.b64decode(body.bundle, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequestError("bundle: no base64") from None
    targets = parse_targets(body.targets)
    pushed = registry.store.push(model, version, bundle, targets, body.channel)
    if not pushed.new:
        response.status_code = 200
    found = pushed.version
    return PushedView(
        model=model,
        version=version,
        sha256=found.sha256,
        bytes=found.bytes,
        channel=body.channel,
        serial=pushed.serial,
    )


@router.post(
    "/models/{model}/versions/{version}/retire", responses=errors(401, 403, 404, 408, 409, 413, 507)
)
def retire(
    registry: TheRegistry, holder: Operator, model: ModelName, version: VersionName
) -> Retired:
    """Makes a version one that no channel can offer any more."""
    registry.store.retire(model, version)
    return Retired(model=model, version=version, retired=True)


@router.put(
    "/models/{model}/channels/{channel}", responses=errors(401, 403, 404, 408, 409, 413, 507)
)
def activate(
    registry: TheRegistry,
    holder: Pusher,
    model: ModelName,
    channel: ChannelName,
    body: Activation,
) -> Activated:
    """Makes a channel offer a version to all its devices at once."""
    _check_channel(holder.role, channel)
    return Activated(serial=registry.store.activate(model, channel, body.version))


def _check_channel(role: str, channel: str | None) -> None:
    if role == "push" and channel not in (None, PUSH_CHANNEL):
        raise ForbiddenError(f"a token of role push moves the channel {PUSH_CHANNEL} only")


def _model_view(model: Model) -> ModelView:
    return ModelView(
        name=model.name,
        versions=[_version_view(version, model.channels) for version in model.versions],
        channels=[_channel_view(state) for state in model.channels],
    )


def _channel_view(state: ChannelState) -> ChannelView:
    return ChannelView.model_validate(state.to_json())


def _version_view(version: Version, channels: tuple[ChannelState, ...]) -> VersionView:
    told = version.provenance
    return VersionView(
        **{**asdict(told), "budgets": [BudgetMet(**asdict(budget)) for budget in told.budgets]},
        sha256=version.sha256,
        bytes=version.bytes,
        retired=version.retired,
        channels=[state.channel for state in channels if state.version == told.version],
    )
