"""The names of the combinations, apart from NumPy so that --help need not wait for it."""

from __future__ import annotations

RULES = ("sum", "mean", "vote", "weighted")
