"""Dataclasses from the mappings a YAML or JSON file holds, with errors that name the key."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from components.errors import InputError

T = TypeVar("T")

# Of what becomes the name of a file, a folder or a model, on any system.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def from_mapping(cls: type[T], values: Any, where: str) -> T:
    """An instance of dataclass ``cls`` from ``values``.

    Args:
        cls: a dataclass whose annotations say what each key must hold.
        values: what the file held, usually a mapping.
        where: the place in the file, for the message (``budgets.accuracy``).

    Raises:
        InputError: an unknown or missing key, or a value of another type, named with its place.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: must be a mapping of settings, not {_shown(values)}")
    hints = get_type_hints(cls)
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; known keys are {', '.join(known)}")
    read = {}
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name in values:
            read[item.name] = _convert(hints[item.name], values[item.name], f"{where}.{item.name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise InputError(f"{where}: the key {item.name!r} is missing")
    try:
        return cls(**read)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = [a for a in arguments if a is not type(None)]
        return _convert(inner, value, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return from_mapping(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where}: must be a list, not {_shown(value)}")
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(arguments):
            raise InputError(f"{where}: must hold {len(arguments)} values, not {len(value)}")
        return tuple(
            _convert(a, v, f"{where}[{i}]")
            for i, (a, v) in enumerate(zip(arguments, value, strict=True))
        )
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: must be a mapping, not {_shown(value)}")
        return {str(k): _convert(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise InputError(f"{where}: {_shown(value)} is too large for a number") from None
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    wanted = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
    raise InputError(f"{where}: must be {wanted.get(kind, kind)}, not {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
