"""What the service sees of a model in use: how it does, and when it is replaced."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from edge_client.fleet.errors import FleetError
from edge_client.fleet.installed.home import Home
from edge_client.fleet.report import MAX_REASON, PERCENTILES, UsageReport, utc_text
from edge_client.fleet.service.reporter import Reporter
from edge_client.fleet.use.probation import Probation
from edge_client.fleet.use.usage import read_usage


class InUseReport:
    """One model's."""

    def __init__(
        self, home: Home, model: str, reporter: Reporter, say: Callable[[str, str], None]
    ) -> None:
        """Looks at nothing yet.

        Args:
            home: of the device.
            model: which.
            reporter: says it.
            say: tells a person: about what, and a line.
        """
        self._model = model
        self._reporter, self._say = reporter, say
        self._probation = Probation(home, model)
        folder = home.model(model)
        self._files = (folder / "active" / "slot.json", folder / "journal.json")
        self._seen: object = None

    def look(self) -> None:
        """Judges the active version, and reports what changed since the last look."""
        try:
            self._probation.judge()
        except (OSError, FleetError) as error:
            self._say(self._model, f"{self._model}: cannot be judged: {error}")
        marks = self._marks()
        if marks != self._seen:
            self._seen = marks
            self._changed()

    def seen(self) -> None:
        """What there is now was reported by somebody else."""
        self._seen = self._marks()

    def usage(self) -> None:
        """Reports how the active version is used."""
        active = self._probation.slots.active()
        usage = read_usage(self._probation.pages, active.version) if active else None
        if usage is None:
            return
        latency = {name: round(usage.percentile(int(name[1:]) / 100), 4) for name in PERCENTILES}
        since = utc_text(min(usage.since, time.time()))
        self._reporter.usage(
            UsageReport(self._model, usage.version, usage.inferences, latency, since)
        )

    def _changed(self) -> None:
        """By another process, or by :meth:`look` itself; also at the very beginning."""
        slots = self._probation.slots
        active, previous = slots.active(), slots.previous()
        failed = slots.journal.read().failed
        changes: dict[str, Any] = {
            "active": active.reported() if active else None,
            "previous": previous.reported() if previous else None,
            "failed": tuple(each.version for each in failed),
        }
        wanted = self._reporter.model(self._model).wanted
        here = active.version if active else None
        last = failed[-1] if failed else None
        # The journal forgets failures once another version is offered, so the last one is of what
        # is wanted, also when that is not known yet.
        if last is not None and last.version != here and wanted in (None, last.version):
            changes["state"] = "rolled_back" if last.rolled_back else "refused"
            changes |= {"wanted": last.version, "progress": 0.0}
            changes["reason"] = f"{last.reason}: {last.text}"[:MAX_REASON]
            if last.rolled_back and wanted is not None:
                self._say(self._model, f"{self._model}: {here} again: {changes['reason']}")
        elif here is not None and wanted in (None, here):
            changes |= {"state": "active", "reason": ""}
        self._reporter.change(self._model, **changes)

    def _marks(self) -> object:
        """Other values whenever the active version or the journal is another."""
        marks: list[tuple[int, int] | None] = []
        for path in self._files:
            try:
                status = os.stat(path)
            except OSError:
                marks.append(None)
                continue
            marks.append((status.st_ino, status.st_mtime_ns))
        return marks
