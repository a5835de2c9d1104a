"""Stops a run whose data TFDV finds fault with, which its own components never do."""

from __future__ import annotations
