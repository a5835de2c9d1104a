"""What a process that runs a model from elsewhere may have, lest the model have the machine."""

from __future__ import annotations

import resource
from pathlib import Path


def confine(memory: int, cpu_s: int | None = None) -> None:
    """For the rest of this process: so much more memory, no files written, no core dumped.

    Args:
        memory: bytes beyond what it has now.
        cpu_s: seconds of the processor, after which it is killed; None for no limit.
    """
    with Path("/proc/self/statm").open() as file:
        own = int(file.read().split()[0]) * resource.getpagesize()
    limits = [
        (resource.RLIMIT_AS, own + memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ]
    if cpu_s is not None:
        limits.append((resource.RLIMIT_CPU, cpu_s))
    for what, limit in limits:
        allowed = resource.getrlimit(what)[1]  # who started us may have set less
        least = limit if allowed == resource.RLIM_INFINITY else min(limit, allowed)
        resource.setrlimit(what, (least, least))
