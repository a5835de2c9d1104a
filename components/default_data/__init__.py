"""Data to try everything on without a download: synthetic spoken words, a measured station year.

The words are **synthetic**: eSpeak NG speaks them in about a hundred voices, with room, noise and
level of our making.  Figures reached on them say nothing about people's voices.
"""

from __future__ import annotations
