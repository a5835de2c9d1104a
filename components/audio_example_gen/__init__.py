"""Recordings of words, from a zip or a folder, to Examples of one clip each."""

from __future__ import annotations
