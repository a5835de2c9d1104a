"""What a monitoring came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge_client.monitor.quantities import MONITORED, Monitored

_NAMES = tuple(each.name for each in MONITORED)


@dataclass
class Tally:
    """Counts; ``missing`` says why samples were missing, each of which ends a window."""

    samples: int = 0  # read, with or without a value missing
    unread: int = 0  # ticks at which the sensor gave nothing in time
    not_finite: int = 0  # samples with a missing value
    skipped: int = 0  # ticks passed over, or records that a file lacks
    windows: int = 0  # of which a forecast was made
    bad_forecasts: int = 0  # that are not finite
    compared: int = 0  # samples that a forecast was compared with
    errors: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_NAMES, 0.0))
    alarms: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_NAMES, 0))
    unsaid: int = 0  # alarms there was no room for while the broker was away, or no broker at all

    def compare(self, quantity: Monitored, error: float, alarm: bool) -> None:
        """Takes note of an absolute error."""
        self.errors[quantity.name] += error
        self.alarms[quantity.name] += alarm

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, with the mean absolute error of each quantity in its unit."""
        return {
            "samples": self.samples,
            "missing": {
                "unread": self.unread,
                "not_finite": self.not_finite,
                "skipped": self.skipped,
            },
            "windows": self.windows,
            "bad_forecasts": self.bad_forecasts,
            "compared": self.compared,
            "mean_absolute_error": {
                name: round(total / self.compared, 4) if self.compared else None
                for name, total in self.errors.items()
            },
            "alarms": dict(self.alarms),
            "alarms_unsaid": self.unsaid,
        }

    def line(self) -> str:
        """The same for a person."""
        missing = self.unread + self.not_finite + self.skipped
        alarms = ", ".join(f"{count} of {name}" for name, count in self.alarms.items())
        unsaid = f", {self.unsaid} of them not said for want of a broker" * bool(self.unsaid)
        return (
            f"{self.samples} samples, {missing} missing, {self.compared} compared with a "
            f"forecast; alarms: {alarms}{unsaid}"
        )
