"""What runs on this machine."""

from __future__ import annotations

from pathlib import Path


def sleeps(seconds: str) -> bool:
    """Whether a process is `sleep SECONDS`: one of our own, where nobody else sleeps so long."""
    wanted = f"sleep\0{seconds}\0".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                return True
        except OSError:  # it has just ended
            pass
    return False
