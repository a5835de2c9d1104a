"""Rollouts at work: what devices report moves them on, and the channels follow.

Every step is written down whole before the channel is moved, and what the channel is to offer
follows from what is written: a registry killed at any instant takes up where it was. Only the file
of a rollout says how it stands; to do a step's second half twice changes nothing.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_client.files import write_whole
from edge_client.fleet.channel import ChannelState
from edge_client.fleet.report import utc_text
from serving.refusal import Refusal
from serving.registry.devices.devices import Devices
from serving.registry.errors import ConflictError, NotFoundError, StorageError
from serving.registry.log import log
from serving.registry.rollouts import rollout_file
from serving.registry.rollouts.rollout import (
    Moment,
    StagedRollout,
    StepError,
    abort,
    begin,
    judge,
    pause,
    resume,
)
from serving.registry.rollouts.rollout_counts import Counts, counts_of, standing
from serving.registry.rollouts.rollout_plan import Membership, Plan
from serving.registry.tuf.store import Store

FOLDER = "rollouts"
MAX_ROLLOUTS = 1000  # that are kept; of those that are over the oldest are forgotten
JUDGE_EVERY_S = 1.0
JUDGE_AGAIN_S = 0.1  # at the soonest, however many devices report
WRITE_EVERY_S = 10.0  # while there is nothing to write but the time gone by
CLOSE_S = 10.0


class Rollouts:
    """All rollouts of a registry; safe to use from any thread."""

    def __init__(
        self,
        state: Path,
        store: Store,
        devices: Devices,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes up what is written in the folder. Raises `OSError` when that cannot be used."""
        self._folder = state / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._store, self._devices, self._clock = store, devices, clock
        self._lock = threading.RLock()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)
        self._rollouts = rollout_file.read_all(self._folder)
        self._memberships: dict[str, Membership] = {}
        self._judged_at = {each: clock() for each in self._rollouts}
        self._written_at = dict(self._judged_at)
        self._take_up()
        devices.on_report(self._news.set)

    def start(self) -> None:
        """Begins to watch the devices."""
        self._thread.start()

    def close(self) -> None:
        """Ends that; the rollouts go on when the registry serves again."""
        self._closing.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def begin(self, plan: Plan, by: str) -> StagedRollout:
        """Lets the first group have the version.

        Raises:
            NotFoundError: there is no such version.
            ConflictError: the channel is in a rollout, offers this version already, or nothing;
                or the version is retired.
            StorageError: the disk does not take it.
        """
        with self._lock:
            self._store.version(plan.model, plan.version)
            channel = self._store.channel(plan.model, plan.channel)
            if channel.rollout is not None:
                raise ConflictError(
                    f"rollout {channel.rollout.id} of {channel.rollout.version} is on its way in "
                    f"channel {plan.channel}; abort it, or wait for its end"
                )
            if channel.version is None:
                raise ConflictError(
                    f"channel {plan.channel} of {plan.model} offers nothing yet that could be gone "
                    "back to; activate a version there first"
                )
            if channel.version == plan.version:
                raise ConflictError(
                    f"channel {plan.channel} of {plan.model} offers {plan.version} already"
                )
            moment = _now(by)
            rollout_id = f"{moment.at[:10].replace('-', '')}-{secrets.token_hex(4)}"
            rollout = begin(rollout_id, plan, channel.version, moment)
            self._forget_old()
            self._write(rollout)
            try:
                # Somebody else may have moved the channel since we looked.
                self._point(rollout, instead_of=channel)
            except BaseException:
                if not self._offers(rollout):
                    self._path(rollout.id).unlink(missing_ok=True)
                    del self._rollouts[rollout.id]
                raise
            _tell(rollout)
            self._judged_at[rollout.id] = self._clock()
            return rollout

    def get(self, rollout_id: str) -> StagedRollout:
        """One rollout. Raises `NotFoundError`."""
        with self._lock:
            found = self._rollouts.get(rollout_id)
        if found is None:
            raise NotFoundError(f"no rollout {rollout_id}; see `ml4iot-registry rollout show`")
        return found

    def all(self) -> list[StagedRollout]:
        """All of them, the newest first."""
        with self._lock:
            return sorted(self._rollouts.values(), key=_begun_at, reverse=True)

    def pause(self, rollout_id: str, by: str) -> StagedRollout:
        """No further group; raises `NotFoundError`, `ConflictError` or `StorageError`."""
        return self._step(rollout_id, by, pause)

    def resume(self, rollout_id: str, by: str) -> StagedRollout:
        """On again; raises `NotFoundError`, `ConflictError` or `StorageError`."""
        return self._step(rollout_id, by, resume)

    def abort(self, rollout_id: str, by: str) -> StagedRollout:
        """Back to the version before; raises as :meth:`pause` does."""
        return self._step(rollout_id, by, abort)

    def counts(self, rollout: StagedRollout) -> list[Counts]:
        """How the devices of each group stand now, of groups not reached yet as well.

        Of a rollout that is over: how they stood when it left the group, or ended in it.
        """
        plan = rollout.plan
        if rollout.status.over:
            stood = {event.group: event.counts for event in rollout.history}
            return [stood.get(group.name, Counts()) for group in plan.groups]
        with self._lock:
            membership = self._memberships.get(rollout.id)
            if membership is None:
                membership = self._memberships[rollout.id] = Membership(rollout.id, plan)
        found: Counter[tuple[int, str]] = Counter()
        reports = self._devices.reports(plan.model, plan.channel)
        for device in reports.keys() | membership.named.keys():
            report, online = reports.get(device) or (None, self._devices.is_online(device))
            stands = standing(report, online, rollout.id, plan.version)
            found[membership.group_of(device), stands] += 1
        return [counts_of(found, group) for group in range(len(plan.groups))]

    def look(self) -> None:
        """Judges every rollout that is not over, once."""
        with self._lock:
            for rollout in self._alive():
                try:
                    self._judge(rollout)
                except Refusal as error:  # a full disk, which must not end the others
                    log.error("rollout %s: %s; tried again", rollout.id, error)

    def _judge(self, rollout: StagedRollout) -> None:
        counts = self.counts(rollout)
        now = self._clock()
        elapsed = now - self._judged_at[rollout.id]
        self._judged_at[rollout.id] = now
        judged = judge(rollout, counts[: rollout.reached + 1], elapsed, _now())
        if judged.history != rollout.history:
            self._become(judged)
            return
        self._rollouts[rollout.id] = judged
        if now - self._written_at[rollout.id] >= WRITE_EVERY_S:
            self._write(judged)
        self._point(judged)  # where it failed the last time

    def _alive(self) -> list[StagedRollout]:
        """Those that are not over, and those over whose channel has not heard of it."""
        rollouts = self._rollouts.values()
        return [each for each in rollouts if not each.status.over or self._offers(each)]

    def _run(self) -> None:
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self.look()
            except Exception:  # one fault must not end all rollouts for ever
                log.exception("the rollouts could not be looked after")
            # A fleet so large that to count it takes long is to leave time for requests.
            self._closing.wait(max(JUDGE_AGAIN_S, 4 * (time.monotonic() - began)))
            self._news.wait(JUDGE_EVERY_S)
            self._news.clear()

    def _step(
        self,
        rollout_id: str,
        by: str,
        step: Callable[[StagedRollout, Counts, Moment], StagedRollout],
    ) -> StagedRollout:
        with self._lock:
            rollout = self.get(rollout_id)
            counts = self.counts(rollout)[rollout.reached]
            try:
                after = step(rollout, counts, _now(by))
            except StepError as error:
                raise ConflictError(str(error)) from None
            self._become(after)
            return after

    def _become(self, rollout: StagedRollout) -> None:
        """Takes a step: first on disk, then in the channel."""
        self._write(rollout)
        _tell(rollout)
        self._point(rollout)

    def _write(self, rollout: StagedRollout) -> None:
        try:
            write_whole(self._path(rollout.id), rollout_file.serialise(rollout))
        except OSError as error:
            raise StorageError(
                f"rollout {rollout.id} cannot be written: {error.strerror or error}"
            ) from error
        self._rollouts[rollout.id] = rollout
        self._written_at[rollout.id] = self._clock()
        if rollout.status.over:
            self._memberships.pop(rollout.id, None)

    def _point(self, rollout: StagedRollout, instead_of: ChannelState | None = None) -> None:
        wanted = rollout.channel_state()
        if self._store.channel(wanted.model, wanted.channel) != wanted:
            try:
                self._store.set_channel(wanted, instead_of)
            except OSError as error:
                raise StorageError(
                    f"channel {wanted.channel} cannot be written: {error.strerror or error}"
                ) from error

    def _offers(self, rollout: StagedRollout) -> bool:
        """Whether the channel is in this rollout."""
        channel = self._store.channel(rollout.plan.model, rollout.plan.channel)
        return channel.rollout is not None and channel.rollout.id == rollout.id

    def _take_up(self) -> None:
        """Moves the channels to where the files say they are, after a kill in between."""
        for rollout in self._alive():
            log.info("rollout %s is taken up: %s", rollout.id, rollout.status.value)
            try:
                self._point(rollout)
            except Refusal as error:  # a full disk; or a copy of only a part of the folder is back
                log.error("rollout %s: %s; tried again", rollout.id, error)
        for channel in self._store.channels():
            if channel.rollout is not None and channel.rollout.id not in self._rollouts:
                log.error("rollout %s has no file any more; reverted", channel.rollout.id)
                self._store.set_channel(replace(channel, rollout=None))

    def _forget_old(self) -> None:
        over = [each for each in self.all() if each.status.over]
        room = MAX_ROLLOUTS - 1 - (len(self._rollouts) - len(over))
        for rollout in over[max(room, 0) :]:
            self._path(rollout.id).unlink(missing_ok=True)
            for kept in (self._rollouts, self._memberships, self._judged_at, self._written_at):
                kept.pop(rollout.id, None)

    def _path(self, rollout_id: str) -> Path:
        return self._folder / f"{rollout_id}.json"


def _now(by: str | None = None) -> Moment:
    at = utc_text(time.time())
    return Moment(at) if by is None else Moment(at, by)


def _begun_at(rollout: StagedRollout) -> tuple[str, str]:
    return rollout.history[0].at if rollout.history else "", rollout.id


def _tell(rollout: StagedRollout) -> None:
    plan = rollout.plan
    fields = {"rollout": rollout.id, "model": plan.model, "channel": plan.channel}
    fields |= {"version": plan.version, **rollout_file.event_to_json(rollout.history[-1])}
    log.info("rollout", extra={"fields": fields})
