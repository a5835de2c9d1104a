"""How the devices of a group stand to a rollout, out of their last reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_client.fleet.report import ModelReport

_BEGUN = ("downloading", "verified", "testing")
_FAILED = ("rolled_back", "refused")


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


def standing(report: ModelReport | None, online: bool, rollout_id: str, version: str) -> str:
    """How a device stands to a rollout: one of :class:`Counts`, or empty for "says nothing yet".

    Args:
        report: on the rollout's model and channel; None: named in a group, but never heard of.
        online: whether the device is there.
        rollout_id: of the rollout.
        version: that it brings.
    """
    if report is not None:
        runs = report.active is not None and report.active.version == version
        wants = report.rollout == rollout_id
        if runs and report.state not in _FAILED:
            return "active"
        # One that runs the version well may refuse what it was shown after that; this is no fault
        # of the version, though nothing to go on by either.
        if wants and (version in report.failed or (report.state in _FAILED and not runs)):
            return "failed"
        if wants and report.state in _BEGUN:
            return "begun"
    return "" if online else "away"


def counts_of(found: Mapping[tuple[int, str], int], group: int) -> Counts:
    """Of one group, out of how many devices there are by group and by how they stand."""
    stands = {how: number for (index, how), number in found.items() if index == group}
    members = sum(stands.values())
    stands.pop("", None)
    return Counts(members, **stands)
