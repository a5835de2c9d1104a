"""Rollouts over HTTP: begin one, look at it, hold it, let it go on, call it off."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from serving.registry.errors import BadRequestError
from serving.registry.http.access import Operator, TheRegistry
from serving.registry.http.schemas import (
    PATTERN,
    WHOLE,
    ChannelName,
    ModelName,
    Name,
    Strict,
    errors,
)
from serving.registry.registry import Registry
from serving.registry.rollouts.rollout import StagedRollout
from serving.registry.rollouts.rollout_file import (
    MAX_GROUPS,
    MAX_MEMBERS,
    MAX_NAMED,
    MAX_PATIENCE_S,
    counts_to_json,
    to_json,
)
from serving.registry.rollouts.rollout_plan import Group, Plan, PlanError, check_plan, whole_fleet

MAX_SHOWN = 100

router = APIRouter(tags=["rollouts"])

RolloutId = Annotated[
    str, Path(pattern=PATTERN, description="The rollout.", examples=["20261120-0a1b2c3d"])
]
Share = Annotated[float, Field(ge=0, le=1)]


class NamedGroup(Strict):
    """Devices by name."""

    name: Name
    devices: Annotated[list[Name], Field(min_length=1, max_length=MAX_NAMED)]


class ShareGroup(Strict):
    """A share of the fleet, which includes the shares before it."""

    name: Name
    share: Annotated[float, Field(gt=0, le=1)]


class RolloutWanted(Strict):
    """A version to be rolled out in groups; everybody is added as the last one."""

    version: Name
    groups: Annotated[list[NamedGroup | ShareGroup], Field(min_length=1, max_length=MAX_GROUPS - 1)]
    success: Share = Field(description="Share of a group's devices that must have the version.")
    errors: Share = Field(description="A larger share of failures reverts the rollout.")
    minimum: Annotated[int, Field(ge=1, le=MAX_MEMBERS), WHOLE] = Field(
        1, description="Devices of a group that must have come to an end with the version."
    )
    patience_s: Annotated[float, Field(gt=0, le=MAX_PATIENCE_S)] = Field(
        3600.0, description="For the devices of one group; those still away are left out then."
    )


class CountsView(BaseModel):
    """Devices of a group that report on the model and channel."""

    members: int
    active: int
    failed: int
    begun: int
    away: int


class GroupView(BaseModel):
    """A group and how its devices stand."""

    name: str
    devices: list[str] | None = None
    share: float | None = None
    reached: bool
    counts: CountsView


class EventView(BaseModel):
    """A transition; the counts are of the group it was in."""

    at: str
    what: str
    by: str
    group: str
    counts: CountsView
    why: str


class StagedRolloutView(BaseModel):
    """A rollout now."""

    id: str
    model: str
    channel: str
    version: str
    before: str | None
    status: Literal["running", "paused", "finished", "reverted", "aborted"]
    reached: int
    groups: list[GroupView]
    success: float
    errors: float
    minimum: int
    patience_s: float
    waited_s: float
    history: list[EventView]


class StagedRollouts(BaseModel):
    """The newest first."""

    rollouts: list[StagedRolloutView]


@router.post(
    "/models/{model}/channels/{channel}/rollouts",
    status_code=201,
    responses=errors(401, 403, 404, 408, 409, 413, 507),
)
def start_rollout(
    model: ModelName,
    channel: ChannelName,
    wanted: RolloutWanted,
    registry: TheRegistry,
    holder: Operator,
) -> StagedRolloutView:
    """Lets the first group have a version; the next follow by themselves, each after success."""
    groups = [
        Group(each.name, tuple(each.devices))
        if isinstance(each, NamedGroup)
        else Group(each.name, share=each.share)
        for each in wanted.groups
    ]
    registry.store.version(model, wanted.version)  # what is not there is said before anything else
    try:
        plan = check_plan(
            Plan(
                model,
                channel,
                wanted.version,
                whole_fleet(groups),
                wanted.success,
                wanted.errors,
                wanted.minimum,
                wanted.patience_s,
            )
        )
    except PlanError as error:
        raise BadRequestError(str(error)) from None
    return _shown(registry, registry.rollouts.begin(plan, holder.name))


@router.get("/rollouts", responses=errors())
def list_rollouts(
    registry: TheRegistry, limit: Annotated[int, Query(ge=1, le=MAX_SHOWN)] = 20
) -> StagedRollouts:
    """The newest rollouts."""
    found = registry.rollouts.all()[:limit]
    return StagedRollouts(rollouts=[_shown(registry, each) for each in found])


@router.get("/rollouts/{rollout}", responses=errors(404))
def show_rollout(rollout: RolloutId, registry: TheRegistry) -> StagedRolloutView:
    """One rollout, and how the devices of each group stand now."""
    return _shown(registry, registry.rollouts.get(rollout))


@router.post("/rollouts/{rollout}/pause", responses=errors(401, 403, 404, 409, 507))
def pause_rollout(rollout: RolloutId, registry: TheRegistry, holder: Operator) -> StagedRolloutView:
    """No further group has the version until it is resumed; too many errors still revert it."""
    return _shown(registry, registry.rollouts.pause(rollout, holder.name))


@router.post("/rollouts/{rollout}/resume", responses=errors(401, 403, 404, 409, 507))
def resume_rollout(
    rollout: RolloutId, registry: TheRegistry, holder: Operator
) -> StagedRolloutView:
    """Goes on where it was paused; the group's patience begins anew."""
    return _shown(registry, registry.rollouts.resume(rollout, holder.name))


@router.post("/rollouts/{rollout}/abort", responses=errors(401, 403, 404, 409, 507))
def abort_rollout(rollout: RolloutId, registry: TheRegistry, holder: Operator) -> StagedRolloutView:
    """All devices go back to the version before."""
    return _shown(registry, registry.rollouts.abort(rollout, holder.name))


def _shown(registry: Registry, rollout: StagedRollout) -> StagedRolloutView:
    counts = registry.rollouts.counts(rollout)
    values = to_json(rollout)
    values["groups"] = [
        {**group, "reached": index <= rollout.reached, "counts": counts_to_json(counts[index])}
        for index, group in enumerate(values["groups"])
    ]
    return StagedRolloutView.model_validate(values)
