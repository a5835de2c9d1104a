"""Numbers on the command line, and what is said of those that are none."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def number(
    lowest: float = -math.inf, highest: float = math.inf, what: str = "finite number"
) -> Callable[[str], float]:
    """A finite number from ``lowest`` to ``highest``, for argparse; ``what`` it is, for people."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and lowest <= value <= highest):
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}{_range(lowest, highest)}")
        return value

    return read


def whole(lowest: int, highest: float = math.inf) -> Callable[[str], int]:
    """A whole number from ``lowest`` to ``highest``, for argparse."""

    def read(text: str) -> int:
        # int() takes other scripts' digits too, and seconds for millions of them.
        if not (text.isascii() and text.isdecimal() and len(text) < 19) or not (
            lowest <= int(text) <= highest
        ):
            raise argparse.ArgumentTypeError(
                f"{text!r} is no whole number{_range(lowest, highest)}"
            )
        return int(text)

    return read


def _range(lowest: float, highest: float) -> str:
    if highest == math.inf:
        return "" if lowest == -math.inf else f" from {lowest:.10g} on"
    return f" from {lowest:.10g} to {highest:.10g}"
