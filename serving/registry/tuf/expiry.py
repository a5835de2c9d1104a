"""Which metadata only the operator can sign anew, and that it is said in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.metadata import Root, Targets

from serving.registry.tuf.contents import Contents

WARN_BEFORE = timedelta(days=30)
_OFFLINE = (Root.type, Targets.type)  # the others are renewed while the registry serves


def expiring(contents: Contents, folder: Path, now: datetime) -> list[str]:
    """A line for each offline role with less than :data:`WARN_BEFORE` left, and what to do.

    Args:
        contents: of the registry.
        folder: where it is, for the command to be told.
        now: the moment, in UTC.
    """
    lines = []
    for role in _OFFLINE:
        ends = contents.expires(role)
        if ends - now < WARN_BEFORE:
            verb = "expired" if ends <= now else "expires"
            lines.append(
                f"the metadata of {role} {verb} on {ends:%Y-%m-%d}, and then no device updates; "
                f"sign it anew with ml4iot-registry rotate {folder} --keys DIR {role}"
            )
    return lines
