"""SenML in JSON: text to plain objects, whatever the text, and back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

from edge_client.senml.record import SenmlError, shown


def decode_json(body: bytes, most: int) -> Any:
    """The values of JSON text, ``most`` at most, with no key twice in an object and no NaN.

    Raises:
        SenmlError: not UTF-8, not JSON, nested too deeply or made of too many parts.
    """
    # Before parsing, for a list of nothing costs many times its three bytes of text.
    if len(body) > most and sum(map(body.count, (b",", b"[", b"{"))) > most:
        raise SenmlError(f"SenML: more than the {most} values that are taken")
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_constant=_refuse_constant,
        )
    except SenmlError:
        raise
    except UnicodeDecodeError:
        raise SenmlError("SenML: not UTF-8 text") from None
    except RecursionError:
        raise SenmlError("SenML: lists or objects nested too deeply") from None
    except ValueError as error:
        raise SenmlError(f"SenML: not JSON: {error}") from None


def encode_json(values: Any) -> bytes:
    """Compact JSON text."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()


def number(value: float) -> float | int:
    """The shorter of the spellings of a number: 7 rather than 7.0."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def entries(values: Any) -> Sequence[dict[str, Any]]:
    """The records of a pack, each still as it is spelled."""
    if not isinstance(values, list):
        raise SenmlError(f"SenML: an array of records is wanted, not {shown(values)}")
    for i, value in enumerate(values):
        if not isinstance(value, dict):
            raise SenmlError(f"SenML[{i}]: a record is wanted, not {shown(value)}")
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise SenmlError(f"SenML: the field {shown(twice)} twice in one object")
    return values


def _whole(text: str) -> int | float:
    """Python takes quadratic time for an integer of many digits; a double is all that counts."""
    return int(text) if len(text) <= 20 else float(text)


def _refuse_constant(text: str) -> NoReturn:
    raise SenmlError(f"SenML: {text} is no number")
