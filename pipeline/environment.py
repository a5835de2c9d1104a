"""The environment variables by which a run is told what it needs to know."""

from __future__ import annotations

import os


def given(variable: str) -> str | None:
    """The variable's value; one that is set to nothing counts as not set."""
    return os.environ.get(variable) or None
