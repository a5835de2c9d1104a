"""Typed access to the fields of untrusted JSON, which leaves no field unread."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any


class FieldError(ValueError):
    """A field unknown, missing, of the wrong type or out of range; the message says which."""


def strict_json(data: bytes | str) -> Any:
    """The value of a JSON text in which no field stands twice and every number is one.

    Raises:
        ValueError: it is no such text.
        RecursionError: it is nested too deeply.
    """
    return json.loads(data, object_pairs_hook=_no_repeats, parse_constant=_no_constant)


class Fields:
    """The fields of one JSON object.

    As a context manager it refuses, at its end, every field nobody has asked for: what is not
    understood must not be silently ignored by whoever trusts the whole.
    """

    def __init__(self, values: Any, where: str) -> None:
        """``where`` is what error messages call the object."""
        if not isinstance(values, dict):
            raise FieldError(f"{where}: an object is wanted, not {_short(values)}")
        self.where = where
        self._values = values
        self._read: set[str] = set()

    def __enter__(self) -> Fields:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        unknown = sorted(set(self._values) - self._read)
        if kind is None and unknown:
            raise FieldError(f"{self.where}: unknown field {_short(unknown[0])}")

    def plain(self, name: str) -> Any:
        """The value as it is, for a class of its own to check."""
        self._read.add(name)
        if name not in self._values:
            raise FieldError(f"{self.where}: no field {name!r}")
        return self._values[name]

    def absent(self, name: str) -> bool:
        """Whether the field says null."""
        return self.plain(name) is None

    def missing(self, name: str) -> bool:
        """Whether there is no such field, for those that need not be there."""
        return name not in self._values

    def text(
        self,
        name: str,
        pattern: re.Pattern[str] | None = None,
        shortest: int = 1,
        longest: int = 200,
    ) -> str:
        """A string of so many printable characters, all of it of the pattern."""
        value = self._text(self.plain(name), name, shortest, longest)
        if pattern is not None and not pattern.fullmatch(value):
            raise self._wrong(name, value, f"a string like {pattern.pattern}")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of a few strings."""
        value = self.plain(name)
        if not isinstance(value, str) or value not in choices:
            raise self._wrong(name, value, " or ".join(map(repr, choices)))
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.plain(name)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def whole(self, name: str, lowest: int, highest: int) -> int:
        """An integer in a range."""
        value = self.plain(name)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise self._wrong(name, value, f"a whole number from {lowest} to {highest}")
        return value

    def number(self, name: str, above: float = -math.inf, least: float = -math.inf) -> float:
        """A finite number, greater than ``above`` and not smaller than ``least``."""
        number = self._number(self.plain(name), name, above)
        if number < least:
            raise self._wrong(name, number, f"a number not below {least:g}")
        return number

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        return tuple(self._number(value, name, -math.inf) for value in self._list(name, 0, None))

    def texts(self, name: str, least: int, most: int) -> tuple[str, ...]:
        """A list of different, non-empty strings."""
        values = self._list(name, least, most)
        texts = tuple(self._text(value, name) for value in values)
        if len(set(texts)) != len(texts):
            raise FieldError(f"{self.where}.{name}: the same entry twice")
        return texts

    def mapping(self, name: str) -> Fields:
        """An object."""
        return Fields(self.plain(name), f"{self.where}.{name}")

    def mappings(self, name: str, most: int) -> list[Fields]:
        """A list of objects."""
        values = self._list(name, 0, most)
        return [Fields(value, f"{self.where}.{name}[{i}]") for i, value in enumerate(values)]

    def _list(self, name: str, least: int, most: int | None) -> list[Any]:
        value = self.plain(name)
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        if len(value) < least or (most is not None and len(value) > most):
            raise FieldError(
                f"{self.where}.{name}: {len(value)} entries where {least} to {most} are wanted"
            )
        return value

    def _text(self, value: Any, name: str, shortest: int = 1, longest: int = 200) -> str:
        if (
            not isinstance(value, str)
            or not shortest <= len(value) <= longest
            or not value.isprintable()
        ):
            raise self._wrong(
                name, value, f"a string of {shortest} to {longest} printable characters"
            )
        return value

    def _number(self, value: Any, name: str, above: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, value, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or not number > above:
            raise self._wrong(name, value, f"a finite number above {above:g}")
        return number

    def _wrong(self, name: str, value: Any, wanted: str) -> FieldError:
        return FieldError(f"{self.where}.{name}: {_short(value)} where {wanted} is wanted")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a field stands in it twice")
    return values


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
