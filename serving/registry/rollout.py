"""A staged rollout: which groups of a fleet may have a version, and what moves it on.

A pure state machine. What devices say comes in as counts, time as seconds gone by, and every step
gives a new :class:`StagedRollout`; writing it down and acting on it is ``rollouts.py``'s part. What
the channel is to offer follows from the state alone, so that a registry killed at any instant
finds back to it.

How a group is judged (after hawkBit's deployment groups):

- Success: enough of its devices are active on the version. Until the group's patience is over,
  devices that are away count as not yet active; then they are left out, while those that have
  begun with the version and never ended count as failed.
- Errors: too many of the devices that are there have refused the version or gone back from it.
  Every group reached is watched for that, to the end, also while the rollout is paused.
- Neither, and nothing more to wait for: the rollout pauses by itself and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from edge_client.fleet.channel import MAX_ROLLOUT_DEVICES, ChannelState, Rollout, fraction
from edge_client.fleet.report import ModelReport

EVERYBODY = "rest"
REGISTRY = "registry"  # who it was when nobody asked for it
EMPTY_PATIENCE_S = 5.0  # for a word from a group in which no device is known
MAX_EVENTS = 1000
_BEGUN = ("downloading", "verified", "testing")
_FAILED = ("rolled_back", "refused")


class StepError(ValueError):
    """Not from this state; the message says what state it is."""


class PlanError(ValueError):
    """A plan that cannot be meant; the message says why."""


class Status(str, Enum):
    """Where a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    REVERTED = "reverted"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """Whether nothing can come after it."""
        return self not in (Status.RUNNING, Status.PAUSED)


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


@dataclass(frozen=True)
class Counts:
    """The devices of one group that report on the model and channel, or are in it by name.

    Those in none of the numbers but the first are online and have said nothing of the version yet.
    """

    members: int = 0
    active: int = 0
    failed: int = 0
    begun: int = 0  # downloading or testing it
    away: int = 0  # and have said nothing about the version

    @property
    def there(self) -> int:
        """Those that can be expected to do something."""
        return self.members - self.away

    def plus(self, other: Counts) -> Counts:
        """The sum."""
        return Counts(*(getattr(self, each) + getattr(other, each) for each in COUNTED))


COUNTED = ("members", "active", "failed", "begun", "away")


@dataclass(frozen=True)
class Event:
    """One transition."""

    at: str  # ISO 8601, UTC
    what: str  # started, advanced, paused, resumed, finished, reverted, aborted
    by: str  # a token's name, or the registry itself
    group: str  # in which the rollout was
    counts: Counts  # of that group
    why: str


@dataclass(frozen=True)
class Moment:
    """When something happens, and who asks for it."""

    at: str
    by: str = REGISTRY


@dataclass(frozen=True)
class StagedRollout:
    """One rollout at one time."""

    id: str
    plan: Plan
    before: str | None  # the channel's version when it began, and again if it fails
    status: Status = Status.RUNNING
    reached: int = 0  # index of the last group that may have the version
    waited_s: float = 0.0  # in this group, while running
    history: tuple[Event, ...] = ()

    @property
    def group(self) -> Group:
        """The last one reached."""
        return self.plan.groups[self.reached]

    def channel_state(self) -> ChannelState:
        """What the channel is to offer."""
        plan = self.plan
        if self.status.over:
            version = plan.version if self.status is Status.FINISHED else self.before
            return ChannelState(plan.model, plan.channel, version, None)
        groups = plan.groups[: self.reached + 1]
        names = {device: None for group in groups for device in group.devices}
        share = max((group.share or 0.0) for group in groups)
        offered = Rollout(self.id, plan.version, tuple(names), share)
        return ChannelState(plan.model, plan.channel, self.before, offered)

    def noted(self, moment: Moment, what: str, counts: Counts, why: str) -> StagedRollout:
        """The same with one more event; of very many the oldest are forgotten."""
        event = Event(moment.at, what, moment.by, self.group.name, counts, why)
        return replace(self, history=(*self.history, event)[-MAX_EVENTS:])


class Membership:
    """Which group of a rollout a device is in: the first one that includes it."""

    def __init__(self, rollout: StagedRollout) -> None:
        self._id = rollout.id
        self._known: dict[str, int] = {}
        groups = rollout.plan.groups
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


def begin(rollout_id: str, plan: Plan, before: str | None, moment: Moment) -> StagedRollout:
    """A rollout that has reached its first group."""
    return StagedRollout(rollout_id, plan, before).noted(moment, "started", Counts(), "")


def standing(report: ModelReport | None, online: bool, rollout: StagedRollout) -> str:
    """How a device stands to a rollout: one of :class:`Counts`, or empty for "says nothing yet".

    Args:
        report: on the rollout's model and channel; None: named in a group, but never heard of.
        online: whether the device is there.
        rollout: what it is asked about.
    """
    if report is not None:
        version = rollout.plan.version
        runs = report.active is not None and report.active.version == version
        wants = report.rollout == rollout.id
        if runs and report.state not in _FAILED:
            return "active"
        # One that runs the version well may refuse what it was shown after that; this is no fault
        # of the version, though nothing to go on by either.
        if wants and (version in report.failed or (report.state in _FAILED and not runs)):
            return "failed"
        if wants and report.state in _BEGUN:
            return "begun"
    return "" if online else "away"


def judge(
    rollout: StagedRollout, counts: Sequence[Counts], elapsed_s: float, moment: Moment
) -> StagedRollout:
    """The rollout after a while: the same, one group further, paused, finished or reverted.

    Args:
        rollout: as it was.
        counts: of every group reached, in their order.
        elapsed_s: since it was last judged.
        moment: now.
    """
    if rollout.status.over:
        return rollout
    if rollout.status is Status.RUNNING:
        rollout = replace(rollout, waited_s=rollout.waited_s + max(elapsed_s, 0.0))
    impatient = rollout.waited_s >= rollout.plan.patience_s
    for index, group in enumerate(counts):
        current = index == rollout.reached
        failed = group.failed + (group.begun if current and impatient else 0)
        if _too_many(failed, group, rollout.plan):
            name = rollout.plan.groups[index].name
            why = f"{failed} of {group.there} devices of group {name} failed"
            return _ended(rollout, Status.REVERTED, moment, counts[-1], why)
    if rollout.status is Status.PAUSED:
        return rollout
    return _judge_current(rollout, counts, impatient, moment)


def pause(rollout: StagedRollout, counts: Counts, moment: Moment, why: str = "") -> StagedRollout:
    """No further group is reached; those reached keep the version. Raises :class:`StepError`."""
    if rollout.status is not Status.RUNNING:
        raise StepError(f"rollout {rollout.id} is {rollout.status.value}; only a running one stops")
    return replace(rollout, status=Status.PAUSED).noted(moment, "paused", counts, why)


def resume(rollout: StagedRollout, counts: Counts, moment: Moment) -> StagedRollout:
    """It goes on, its patience begun anew. Raises :class:`StepError`."""
    if rollout.status is not Status.PAUSED:
        raise StepError(
            f"rollout {rollout.id} is {rollout.status.value}; only a paused one goes on"
        )
    running = replace(rollout, status=Status.RUNNING, waited_s=0.0)
    return running.noted(moment, "resumed", counts, "")


def abort(rollout: StagedRollout, counts: Counts, moment: Moment) -> StagedRollout:
    """All devices go back to the version before. Raises :class:`StepError`."""
    if rollout.status.over:
        raise StepError(f"rollout {rollout.id} is {rollout.status.value} already")
    return _ended(rollout, Status.ABORTED, moment, counts, "")


def _too_many(failed: int, group: Counts, plan: Plan) -> bool:
    if failed == 0 or group.there < min(plan.minimum, group.members):
        return False
    return failed / group.there > plan.errors


def _judge_current(
    rollout: StagedRollout, counts: Sequence[Counts], impatient: bool, moment: Moment
) -> StagedRollout:
    plan, group = rollout.plan, counts[-1]
    total = counts[0]
    for each in counts[1:]:
        total = total.plus(each)
    ended = group.active + group.failed + (group.begun if impatient else 0)
    # A group of fewer devices cannot have the minimum; that many must have been heard before it.
    enough = ended >= min(plan.minimum, group.members) and (
        total.active + total.failed + (group.begun if impatient else 0) >= plan.minimum
    )
    if group.members == 0:
        if enough and rollout.waited_s >= min(EMPTY_PATIENCE_S, plan.patience_s):
            return _advanced(rollout, group, moment, "no device in this group")
        if impatient:
            return pause(rollout, group, moment, f"no device in group {rollout.group.name}")
        return rollout
    judged = group.there if impatient else group.members
    if enough and judged and group.active / judged >= plan.success:
        return _advanced(rollout, group, moment, f"{group.active} of {judged} devices active")
    if impatient or group.active + group.failed == group.members:
        wanted = f"{plan.success:g} of them and {plan.minimum} heard are wanted"
        why = f"only {group.active} of {judged} devices active, where {wanted}"
        return pause(rollout, group, moment, why)
    return rollout


def _advanced(rollout: StagedRollout, counts: Counts, moment: Moment, why: str) -> StagedRollout:
    if rollout.reached + 1 == len(rollout.plan.groups):
        return _ended(rollout, Status.FINISHED, moment, counts, why)
    # The event belongs to the group that is left behind.
    noted = rollout.noted(moment, "advanced", counts, why)
    return replace(noted, reached=rollout.reached + 1, waited_s=0.0)


def _ended(
    rollout: StagedRollout, status: Status, moment: Moment, counts: Counts, why: str
) -> StagedRollout:
    return replace(rollout, status=status).noted(moment, status.value, counts, why)
