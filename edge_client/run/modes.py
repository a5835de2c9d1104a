"""The names of the modes, apart from NumPy so that --help need not wait for it."""

from __future__ import annotations

BIG_LITTLE, FAST_SLOW = "big-little", "fast-slow"
