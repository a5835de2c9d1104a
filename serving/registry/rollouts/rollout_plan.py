"""What a rollout is asked to do: which version, in which groups of the fleet, and when to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge_client.fleet.channel import MAX_ROLLOUT_DEVICES, fraction

EVERYBODY = "rest"


class PlanError(ValueError):
    """A plan that cannot be meant; the message says why."""


@dataclass(frozen=True)
class Group:
    """Devices by name, or a share of the whole fleet that includes the shares before it."""

    name: str
    devices: tuple[str, ...] = ()
    share: float | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be rolled out where, in which groups, and what is asked of each."""

    model: str
    channel: str
    version: str
    groups: tuple[Group, ...]  # the last one is everybody
    success: float  # share of a group's devices, from 0 to 1
    errors: float  # more than this share reverts the rollout
    minimum: int = 1  # devices of a group that must have come to an end with the version
    patience_s: float = 3600.0  # for the devices of one group


class Membership:
    """Which group of a rollout a device is in: the first one that includes it."""

    def __init__(self, rollout_id: str, plan: Plan) -> None:
        self._id = rollout_id
        self._known: dict[str, int] = {}
        groups = plan.groups
        named: dict[str, int] = {}
        for index, group in enumerate(groups):
            for device in group.devices:
                named.setdefault(device, index)
        self.named: Mapping[str, int] = named
        self._shares = [(i, each.share) for i, each in enumerate(groups) if each.share is not None]

    def group_of(self, device: str) -> int:
        """Its index."""
        found = self._known.get(device)
        if found is None:
            place = fraction(device, self._id)
            index = next(index for index, share in self._shares if place < share)
            found = self._known[device] = min(index, self.named.get(device, index))
        return found


def whole_fleet(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups with everybody as the last one, where it is not so already."""
    if groups and groups[-1].share == 1:
        return tuple(groups)
    return (*groups, Group(EVERYBODY, share=1.0))


def check_plan(plan: Plan) -> Plan:
    """The same plan; raises :class:`PlanError` where a group would be empty, or not be clear."""
    names = [group.name for group in plan.groups]
    if len(set(names)) != len(names):
        raise PlanError("groups: two of the same name")
    devices = [device for group in plan.groups for device in group.devices]
    if len(set(devices)) != len(devices):
        raise PlanError("groups: a device in two groups, or twice in one")
    if len(devices) > MAX_ROLLOUT_DEVICES:
        raise PlanError(f"groups: more than {MAX_ROLLOUT_DEVICES} devices by name; use shares")
    shares = [group.share for group in plan.groups if group.share is not None]
    if any(later <= earlier for earlier, later in pairwise(shares)):
        raise PlanError("groups: a share includes those before it, so each must be larger")
    first = plan.groups[0]
    if first.devices and plan.minimum > len(first.devices):
        raise PlanError(
            f"minimum {plan.minimum}: group {first.name} has only {len(first.devices)} devices"
        )
    return plan
