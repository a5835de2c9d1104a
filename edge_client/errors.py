"""The root of every error this client raises on purpose."""

from __future__ import annotations


class EdgeError(ValueError):
    """Bad input in one line: what is wrong, where, and what to do."""
