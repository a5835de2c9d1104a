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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from edge_client.fleet.channel import ChannelState, Rollout
from serving.registry.rollouts.rollout_counts import Counts
from serving.registry.rollouts.rollout_plan import Group, Plan

REGISTRY = "registry"  # who it was when nobody asked for it
EMPTY_PATIENCE_S = 5.0  # for a word from a group in which no device is known
MAX_EVENTS = 1000


class StepError(ValueError):
    """Not from this state; the message says what state it is."""


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


def begin(rollout_id: str, plan: Plan, before: str | None, moment: Moment) -> StagedRollout:
    """A rollout that has reached its first group."""
    return StagedRollout(rollout_id, plan, before).noted(moment, "started", Counts(), "")


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
    # Who begins while it is paused, such as a device that comes back, is not late for anything.
    late = impatient and rollout.status is Status.RUNNING
    for index, group in enumerate(counts):
        failed = group.failed + (group.begun if late and index == rollout.reached else 0)
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
