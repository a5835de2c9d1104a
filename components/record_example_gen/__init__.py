"""Sensor records, from a CSV, to Examples in order of time."""

from __future__ import annotations
