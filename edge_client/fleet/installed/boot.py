"""Which start of the system this is, and how long ago it was: no set clock changes either."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> UUID:
    """Another one for every start of the system; nil where the system does not tell."""
    try:
        return UUID(_BOOT_ID.read_text("ascii").strip())
    except (OSError, ValueError):  # not Linux: a death is then told from a power cut by nobody
        return UUID(int=0)


def since_boot() -> float:
    """Seconds since then, sleep included: to be compared only with those of the same start."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
