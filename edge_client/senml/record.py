"""What a SenML pack holds once every base value is applied, and how much of it is taken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from edge_client.errors import EdgeError

Value = float | str | bool | bytes | None

MAX_BYTES = 16 * 2**20
MAX_RECORDS = 10_000
# Numbers, strings, lists and objects in one pack: 16 MiB of nothing but empty lists would take
# half a gigabyte of memory.
MAX_ITEMS = 300_000
MAX_NAME = 255  # characters, so that ten thousand records cannot repeat a base name of megabytes
MAX_UNIT = 100

# Times below this are relative to now (RFC 8428, section 4.5.3).
ABSOLUTE_TIME = 2.0**28

# RFC 8428, section 4.5.1; course clients of the draft form put anything readable.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")


class SenmlError(EdgeError):
    """SenML that is not taken, or records that cannot be written: what and which record."""


class Form(str, Enum):
    """How records are spelled."""

    JSON = "json"  # RFC 8428, section 5: an array of records
    CBOR = "cbor"  # RFC 8428, section 6: the same with integers for labels
    DRAFT = "draft"  # {"bn", "bt", "e": [...]}, of the drafts before it; base64 with + and /


CONTENT_TYPES = {
    Form.JSON: "application/senml+json",
    Form.CBOR: "application/senml+cbor",
    Form.DRAFT: "application/json",
}


@dataclass(frozen=True)
class Limits:
    """How much of one pack is taken: reading time goes with it, and hardly with bytes."""

    records: int = MAX_RECORDS
    items: int = MAX_ITEMS  # numbers, strings, lists and objects


@dataclass(frozen=True)
class Record:
    """One measurement, resolved: it needs no other record to be understood.

    Attributes:
        name: base name and name.
        time: absolute, in Unix seconds; 0.0 where none was given.
        unit: "" where none was given.
        value: None where there is only a sum.
        sum: the integral of the value over time, in its unit times seconds.
    """

    name: str
    time: float = 0.0
    unit: str = ""
    value: Value = None
    sum: float | None = None


@dataclass(frozen=True)
class Pack:
    """The records of one message, and how they were spelled."""

    form: Form
    records: tuple[Record, ...]


def check_name(name: str, form: Form, where: str) -> None:
    """Raises :class:`SenmlError` for a name that ``form`` does not allow."""
    if form is Form.DRAFT:
        legal = name.isprintable() and 0 < len(name) <= MAX_NAME
        wanted = "printable characters"
    else:
        legal = len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None
        wanted = "letters, digits and -:./_, a letter or digit first,"
    if not legal:
        raise SenmlError(f"{where}: name {shown(name)} where 1 to {MAX_NAME} {wanted} are wanted")


def check_unit(unit: str, where: str) -> None:
    """Raises :class:`SenmlError` for a unit nobody could read."""
    if len(unit) > MAX_UNIT or not unit.isprintable():
        raise SenmlError(
            f"{where}: unit {shown(unit)} where at most {MAX_UNIT} printable characters are wanted"
        )


def check_text(text: str, where: str) -> None:
    """Raises :class:`SenmlError` for half of a surrogate pair, which no UTF-8 can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SenmlError(f"{where}: text that is not Unicode (half a surrogate pair)") from None


def shown(value: Any) -> str:
    """A value of whatever size and depth, for an error message."""
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= 40 else f"{value[:37]!r}..."
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"a {type(value).__name__}"
