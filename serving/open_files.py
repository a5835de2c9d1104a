"""How many files and connections a process may have open, which for most shells is 1,024."""

from __future__ import annotations

import contextlib
import resource


def allow_open_files(wanted: int) -> int:
    """Raises what this process, and those it starts, may have open.

    Args:
        wanted: files and connections.

    Returns:
        What is allowed now: as many, or as many as the system lets us; never less than before.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return wanted if soft == unlimited else soft
    allowed = max(soft, wanted if hard == unlimited else min(wanted, hard))
    with contextlib.suppress(ValueError, OSError):  # some systems have a limit beside the hard one
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed
    return soft
