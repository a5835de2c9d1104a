"""The error of bad input, whose message is all a user needs to see."""

from __future__ import annotations


class InputError(ValueError):
    """One line that says what is wrong, where, and what to do."""
