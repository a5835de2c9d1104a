"""One update of one model, from what its channel offers to the active slot.

At every instant the active slot holds a model that was verified and tried out; whatever goes wrong,
and wherever the process is killed, that one stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_client.bundle.errors import BundleError
from edge_client.bundle.file import read_bundle
from edge_client.fleet.channel import ChannelState
from edge_client.fleet.enrolment import EnrolledModel, Enrolment
from edge_client.fleet.errors import (
    BundleRefused,
    CrashRefused,
    DeviceFailure,
    LatencyRefused,
    SelfTestRefused,
    UpdateRefused,
)
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.journal import Failure
from edge_client.fleet.installed.slots import InstalledSlot
from edge_client.fleet.report import State, utc_text
from edge_client.fleet.update.trial import Trial
from edge_client.fleet.update.trust import Target, Trust
from edge_client.fleet.use.probation import Probation

_PATIENCE_S = 30.0  # for another update of this device
# A power cut in the middle of a trial says nothing about the model; this many of them do.
_TRIALS = 3
# Faults of the version itself, which would be the same the next time.
_LASTING = (BundleRefused, SelfTestRefused, LatencyRefused, CrashRefused)


@dataclass(frozen=True)
class Progress:
    """How far an update is."""

    model: str
    state: State
    wanted: str | None
    progress: float  # of the download, from 0 to 1
    rollout: str | None  # the rollout by which it wants what it wants


@dataclass(frozen=True)
class Outcome:
    """What became of one update."""

    model: str
    channel: str
    state: State  # active; idle where nothing is offered; refused, rolled_back
    wanted: str | None  # the version the channel offers this device
    rollout: str | None
    before: str | None  # the version that was active
    active: InstalledSlot | None
    previous: InstalledSlot | None
    failed: tuple[str, ...]  # versions that are not tried again
    reason: str  # one word, as of UpdateRefused; empty where nothing was refused
    text: str  # one line; empty likewise

    @property
    def current(self) -> bool:
        """Whether the device runs what its channel offers."""
        return self.state in ("active", "idle")


class Updater:
    """Updates the models of one device.  Not safe for use by several threads at once."""

    def __init__(
        self,
        enrolment: Enrolment,
        home: Home,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        *,
        trust: Trust | None = None,
        trial: Trial | None = None,
    ) -> None:
        """Asks nothing yet.

        Args:
            enrolment: of this device.
            home: of this device.
            on_progress: told of every step, and often of the download.
            trust: in the registry; by default what the enrolment says.
            trial: by which new models are tried out.

        Raises:
            EdgeError: the enrolment's registry is no URL.
        """
        self._enrolment, self._home = enrolment, home
        self._on_progress = on_progress
        self._trust = trust or Trust(home, enrolment.registry)
        self._trial = trial or Trial()

    def __enter__(self) -> Updater:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Gets ready for an update that is to be quick; raises :class:`DeviceFailure`."""
        self._trial.prepare()

    def close(self) -> None:
        """Lets go of what is kept ready."""
        self._trial.close()
        self._trust.close()

    def update(self, model: str) -> Outcome:
        """Brings one model to what its channel offers.

        Args:
            model: one this device is enrolled for.

        Returns:
            What became of it; refusals included, after which the model that was there stays.

        Raises:
            EnrolmentError: this device is not enrolled for it.
            RegistryAway: the registry cannot be asked; what is there stays.
            DeviceFailure: this device cannot do it now, its disk is full say; what is there stays.
        """
        enrolled = self._enrolment.model(model)
        probation = Probation(self._home, model)
        slots = probation.slots
        try:
            self._home.make()
            with self._home.updating(_PATIENCE_S):
                update = _Update(
                    device=self._enrolment.device,
                    enrolled=enrolled,
                    probation=probation,
                    incoming=self._home.partials(model),
                    trust=self._trust,
                    trial=self._trial,
                    on_progress=self._on_progress,
                )
                return update.run()
        except OSError as error:
            active = slots.active()
            stays = f"stays at {active.version}" if active else "still has no version"
            raise DeviceFailure(
                f"{model} {stays}: {error.filename or self._home.path}: {error.strerror or error}"
            ) from None


class _Update:
    """One pass; its attributes are what is known so far."""

    def __init__(
        self,
        device: str,
        enrolled: EnrolledModel,
        probation: Probation,
        incoming: Path,
        trust: Trust,
        trial: Trial,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._device = device
        self._model, self._channel = enrolled.model, enrolled.channel
        self._probation, self._slots = probation, probation.slots
        self._incoming = incoming
        self._trust, self._trial = trust, trial
        self._on_progress = on_progress
        self._wanted: str | None = None
        self._rollout: str | None = None
        self._before: str | None = None

    def run(self) -> Outcome:
        active = self._slots.settle()
        self._before = active.version if active else None
        try:
            self._trust.refresh()
            self._choose(self._trust.channel(self._model, self._channel))
            if self._wanted is None:
                return self._outcome("idle")
            wanted = self._wanted
            target = self._trust.bundle(self._model, wanted)
            journal = self._slots.journal.change(lambda state: state.offered(wanted))
            if active is not None and (active.version, active.sha256) == (wanted, target.sha256):
                return self._outcome("active")
            failure = journal.failure(wanted)
            if failure is not None:
                state: State = "rolled_back" if failure.rolled_back else "refused"
                return self._outcome(state, failure.reason, failure.text)
            self._take(wanted, target)
            return self._outcome("active")
        except UpdateRefused as refusal:
            if isinstance(refusal, _LASTING) and self._wanted is not None:
                self._remember(self._wanted, refusal)
            return self._outcome("refused", refusal.reason, str(refusal))

    def _choose(self, state: ChannelState) -> None:
        self._wanted = state.version_for(self._device)
        if state.rollout is not None and state.rollout.includes(self._device):
            self._rollout = state.rollout.id

    def _take(self, wanted: str, target: Target) -> None:
        kept = self._slots.previous()
        if kept and (kept.version, kept.sha256) == (wanted, target.sha256) and kept.intact():
            self._slots.switch(kept)  # it was tried out when it was installed
            return
        bundle = self._fetched(target)
        self._say("verified", 1.0)
        self._check(bundle, wanted)
        self._say("testing", 1.0)
        self._try_out(bundle, wanted, target.sha256)
        self._probation.begin(wanted)
        self._slots.switch(self._slots.install(bundle, wanted, target.sha256))

    def _fetched(self, target: Target) -> Path:
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._incoming / f"{target.sha256}.part"
        for other in self._incoming.iterdir():  # of versions that are no longer offered
            if other != partial:
                other.unlink()
        self._say("downloading", 0.0)
        return self._trust.download(
            target, partial, lambda done: self._say("downloading", done / target.length)
        )

    def _check(self, bundle: Path, wanted: str) -> None:
        name = f"{self._model} {wanted}"
        try:
            manifest = read_bundle(bundle.read_bytes(), name).manifest
        except BundleError as error:
            bundle.unlink()
            raise BundleRefused(str(error)) from None
        if (manifest.name, manifest.version) != (self._model, wanted):
            bundle.unlink()
            raise BundleRefused(f"{name}: its bundle says it is {manifest.name} {manifest.version}")

    def _try_out(self, bundle: Path, wanted: str, sha256: str) -> None:
        journal, name = self._slots.journal, f"{self._model} {wanted}"
        if journal.change(lambda state: state.trying_out(wanted)).trials > _TRIALS:
            raise CrashRefused(
                f"{name}: this device, or its update, went down {_TRIALS} times as it tried it out"
            )
        try:
            self._trial(bundle, sha256, name)
        finally:
            journal.change(lambda state: state.tried_out())

    def _remember(self, wanted: str, refusal: UpdateRefused) -> None:
        failure = Failure(wanted, refusal.reason, str(refusal), False, utc_text(time.time()))
        self._slots.journal.change(lambda state: state.with_failure(failure))

    def _say(self, state: State, progress: float) -> None:
        self._on_progress(Progress(self._model, state, self._wanted, progress, self._rollout))

    def _outcome(self, state: State, reason: str = "", text: str = "") -> Outcome:
        return Outcome(
            model=self._model,
            channel=self._channel,
            state=state,
            wanted=self._wanted,
            rollout=self._rollout,
            before=self._before,
            active=self._slots.active(),
            previous=self._slots.previous(),
            failed=tuple(each.version for each in self._slots.journal.read().failed),
            reason=reason,
            text=text,
        )
