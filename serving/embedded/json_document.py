"""Reads request bodies as RapidJSON, the real server's parser, reads them.

Python's parser accepts the same documents but for a few points, which are brought in line here:
of a repeated key the first value counts, ``Inf`` is a number, nesting is limited, and bytes that
are no UTF-8 pass through unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from serving.embedded.errors import ServingError, invalid

MAX_NESTING = 200
MAX_QUOTED = 1000

_STRING = rb'"(?:[^"\\]|\\.)*"'
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRINGS = re.compile(_STRING, re.DOTALL)
_SHORT_INFINITY = re.compile(rb"(" + _STRING + rb")|\bInf\b", re.DOTALL)
_LONE_SURROGATE = re.compile(
    r"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


def parse(body: bytes) -> Any:
    """The document in `body`; numbers are exact. Raises INVALID_ARGUMENT where there is none."""
    return _parse(body, _FAST)


def parse_with_rapidjson_numbers(body: bytes) -> Any:
    """Like `parse`, with each decimal number rounded as RapidJSON rounds it.

    RapidJSON gathers 16 to 17 digits in a double and scales it by a power of ten, so numbers of
    more than 15 digits can come out one unit in the last place away from the nearest double. It
    shows only in float64 tensors. A number beyond float64 is an error, as it is there.
    """
    return _parse(body, _ROUNDING)


def quote(value: Any) -> str:
    """`value` as the real server shows it in error messages, cut where it is long."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."


def kind(value: Any) -> str:
    """RapidJSON's name of the type of a value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"


def _parse(body: bytes, decoder: json.JSONDecoder) -> Any:
    _refuse_deep_nesting(body)
    try:
        return _decode(body, decoder)
    except json.JSONDecodeError as error:
        if b"Inf" in body:
            spelled_out = _SHORT_INFINITY.sub(lambda m: m[1] or b"Infinity", body)
            if spelled_out != body:
                return _parse(spelled_out, decoder)
        if not body.strip(b" \t\r\n"):
            raise invalid("JSON Parse error: The document is empty") from error
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except ServingError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise _too_big() from error


def _decode(body: bytes, decoder: json.JSONDecoder) -> Any:
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    if "\\u" in text and _LONE_SURROGATE.search(text):
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.")
    return decoder.decode(text)


def _refuse_deep_nesting(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_NESTING or _depth(body) <= MAX_NESTING:
        return
    if _depth(_STRINGS.sub(b"", body)) > MAX_NESTING:
        raise invalid(f"JSON Parse error: the document is nested more than {MAX_NESTING} deep")


def _depth(body: bytes) -> int:
    """Deepest nesting of brackets, those within strings counted along."""
    brackets = np.frombuffer(body.translate(None, _ALL_BUT_BRACKETS), np.uint8)
    if not brackets.size:
        return 0
    steps = np.where((brackets == ord("[")) | (brackets == ord("{")), 1, -1)
    return int(np.cumsum(steps).max())


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        for key, value in reversed(pairs):
            members[key] = value
    return members


def _too_big() -> ServingError:
    return invalid("JSON Parse error: Number too big to be stored in double.")


def _rapidjson_double(text: str) -> float:
    """Source: RapidJSON's ParseNumber and StrtodNormalPrecision."""
    mantissa, _, exponent_text = text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    exponent = int(exponent_text or 0)
    significand: int | float = 0
    digits_taken = 0
    for place, digit in enumerate(whole + fraction):
        in_fraction = place >= len(whole)
        if isinstance(significand, int) and significand >= _beyond_integer(in_fraction):
            significand = float(significand)
        if in_fraction and isinstance(significand, float) and digits_taken >= 17:
            break
        significand = significand * 10 + int(digit)
        if in_fraction:
            exponent -= 1
            digits_taken += significand > 0
        else:
            digits_taken += place > 0
    value = _scale(float(significand), exponent)
    if value == float("inf"):
        raise _too_big()
    return -value if text.startswith("-") else value


def _beyond_integer(in_fraction: bool) -> int:
    """From which significand on RapidJSON goes on in floating point."""
    return 1 << 53 if in_fraction else (1 << 64) // 10


def _scale(significand: float, exponent: int) -> float:
    if exponent < -308:
        return _scale(significand / 1e308, exponent + 308) if exponent >= -616 else 0.0
    if exponent < 0:
        return significand / float(f"1e{-exponent}")
    return significand * float(f"1e{min(exponent, 400)}") if significand else 0.0


def _rapidjson_integer(text: str) -> int | float:
    if len(text) < 19:
        return int(text)
    if len(text) <= 20 and -(1 << 63) <= (value := int(text)) < 1 << 64:
        return value
    return _rapidjson_double(text)


def _decoder(
    parse_float: Callable[[str], float] | None = None,
    parse_int: Callable[[str], int | float] | None = None,
) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_first_wins, parse_float=parse_float, parse_int=parse_int
    )


_FAST = _decoder()
_ROUNDING = _decoder(_rapidjson_double, _rapidjson_integer)
