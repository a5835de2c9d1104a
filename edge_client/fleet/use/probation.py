"""Whether a version stands its uses: it must not crash, nor miss its latency budget at first.

The self-test of an update sees a few golden inputs on a quiet device; this sees the real ones.  In
its first uses a version is given up for one crash.  Later, a crash is as likely the fault of
somebody else, who wanted all of the memory say; but one that keeps crashing keeps the device down.

Who judges does not matter, the service, or any process that runs the model: they all go by what
:mod:`edge_client.fleet.use.usage` counted, and a version is given up only once.
"""

from __future__ import annotations

from pathlib import Path

from edge_client.bundle.errors import BundleError
from edge_client.bundle.file import read_bundle
from edge_client.bundle.manifest import Budget
from edge_client.fleet.errors import CrashRefused, LatencyRefused
from edge_client.fleet.installed.boot import boot_id, since_boot
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import InstalledSlot, Slots
from edge_client.fleet.use.usage import Usage, deaths, forget, read_usage

FIRST_USES = 50  # answers, of all processes together
# What is restarted and crashes again does so within minutes; what the system ended by chance, or a
# person, is not ended three times in an hour.  The hour is counted from the start of the system, so
# no clock that jumps makes crashes of different days one hour's.
CRASHES = 3
CRASHES_S = 3600.0
# The budget is of a quiet device; in use others want its processor too.  It is the median that
# counts, so a few slow answers are nobody's fault.
ALLOWANCE = 1.5


class Probation:
    """The uses of each version of one model.  Safe for use by several processes."""

    def __init__(self, home: Home, model: str) -> None:
        """Raises :class:`FleetError` for what is no name of a model."""
        self.model = model
        self.slots = Slots(home, model)
        self.pages: Path = home.model(model) / "in_use"

    def of(self, version: str) -> bool:
        """Whether this version still has to prove itself."""
        state = self.slots.journal.read()
        return version not in state.proven and state.failure(version) is None

    def begin(self, version: str) -> None:
        """A version is about to be installed, perhaps again: what it did before does not count.

        Raises:
            OSError: something cannot be read or written.
        """
        forget(self.pages, version)

    def judge(self) -> str | None:
        """Gives the active version up for the one before it, or finds it proven, if it is time.

        Returns:
            Why it was given up; None when it was not.

        Raises:
            OSError: something cannot be read or written.
            DeviceFailure: another process does not let go of the slots.
        """
        given_up: list[str] = []
        found: set[str] = set()

        def died(version: str) -> None:
            if version in found:  # those that died together may have died of one cause
                return
            why = self._fault(version)
            if why is not None and self.give_up(version, CrashRefused.reason, why):
                given_up.append(why)
            found.add(version)

        deaths(self.pages, died)
        active = self.slots.active()
        if given_up or active is None or not self.of(active.version):
            return given_up[0] if given_up else None
        usage = read_usage(self.pages, active.version)
        if usage is None or usage.inferences < FIRST_USES:
            return None
        late = _late(usage, active)
        if late is None:
            self.slots.journal.change(lambda state: state.with_proven(active.version))
            return None
        return late if self.give_up(active.version, LatencyRefused.reason, late) else None

    def give_up(self, version: str, reason: str, text: str) -> bool:
        """Goes back from a version, unless that was done already; whether it was done now.

        Args:
            version: that failed; it is not tried again on this device.
            reason: one word, as of :class:`UpdateRefused`.
            text: one line.

        Raises:
            OSError: something cannot be written.
            DeviceFailure: another process does not let go of the slots.
        """
        return self.slots.back(version=version, reason=reason, text=text) is not None

    def _fault(self, version: str) -> str | None:
        """Why a version is to be given up of which a process died; None when that is let pass."""
        answers = self._answers(version)
        if answers < FIRST_USES and self.of(version):
            return f"it crashed or hung after {answers} answers"
        active = self.slots.active()
        if active is None or active.version != version or self.slots.previous() is None:
            return None
        boot, now = str(boot_id()), since_boot()
        state = self.slots.journal.change(
            lambda state: state.with_crash(version, boot, now, CRASHES_S)
        )
        if len(state.crashes.at) < CRASHES:
            return None
        return f"it crashed or hung {CRASHES} times within an hour"

    def _answers(self, version: str) -> int:
        usage = read_usage(self.pages, version)
        return 0 if usage is None else usage.inferences


def _late(usage: Usage, slot: InstalledSlot) -> str | None:
    """What is wrong with the median latency; None when nothing is."""
    try:
        budgets = read_bundle(slot.bundle).manifest.budgets
    except BundleError:  # replaced meanwhile; whoever loads it next says what is wrong
        return None
    for budget in budgets:
        if not _of_latency(budget):
            continue
        median = usage.percentile(0.5, inference=budget.metric == "inference_ms")
        if median > budget.required * ALLOWANCE:
            return (
                f"{budget.metric} has a median of {median:.3g} ms over {usage.inferences} uses; "
                f"its budget is {budget.required:g} ms, {ALLOWANCE:g} times that is let pass"
            )
    return None


def _of_latency(budget: Budget) -> bool:
    return budget.metric in ("total_ms", "inference_ms") and budget.comparison == "<"
