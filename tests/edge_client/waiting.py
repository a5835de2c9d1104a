"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_S = 60.0


def eventually(holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Waits until ``holds()``; fails the test when it never does."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.02)
