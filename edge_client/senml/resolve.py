"""Base values applied: from the fields of a pack to records that stand alone (RFC 8428, 4.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from edge_client.senml import base64_text
from edge_client.senml.record import (
    ABSOLUTE_TIME,
    MAX_NAME,
    Form,
    Record,
    SenmlError,
    Value,
    check_name,
    check_text,
    check_unit,
    shown,
)

VERSION = 10  # RFC 8428, section 4.4
_VALUES = ("v", "vs", "vb", "vd")


def resolve(entries: Sequence[Mapping[str, Any]], form: Form, now: float) -> tuple[Record, ...]:
    """The records of a pack, each with its base values applied.

    Args:
        entries: fields under the labels of RFC 8428, of whatever types.
        form: decides how data is spelled and what a name may be.
        now: Unix seconds that relative times count from.

    Raises:
        SenmlError: a record that is not to be understood.
    """
    base = _Base(form, now)
    return tuple(base.record(fields, f"SenML[{i}]") for i, fields in enumerate(entries))


class _Base:
    """The base values in force, which every record may change for itself and those after it."""

    def __init__(self, form: Form, now: float) -> None:
        self._form = form
        self._now = now
        self._name = ""
        self._unit = ""
        self._time: float | None = None
        self._value: float | None = None
        self._sum: float | None = None
        self._version: int | None = None

    def record(self, fields: Mapping[str, Any], where: str) -> Record:
        """The next record, resolved."""
        for field in fields:
            if field.endswith("_"):
                raise SenmlError(f"{where}: field {shown(field)}, which must be understood, is not")
        self._update(fields, where)
        name = self._name + (_text(fields, "n", where) or "")
        check_name(name, self._form, where)
        unit = _text(fields, "u", where)
        if unit is not None:
            check_unit(unit, where)
        _number(fields, "ut", where)
        value = self._resolved_value(fields, where)
        total = _sum(self._sum, _number(fields, "s", where), f"{where}.s")
        if value is None and total is None:
            raise SenmlError(f"{where}: neither a value nor a sum")
        time = _sum(self._time, _number(fields, "t", where), f"{where}.t")
        return Record(
            name=name,
            time=self._absolute(time),
            unit=self._unit if unit is None else unit,
            value=value,
            sum=total,
        )

    def _update(self, fields: Mapping[str, Any], where: str) -> None:
        """Takes over the base fields of a record."""
        if "bver" in fields:
            version = fields["bver"]
            if isinstance(version, bool) or version not in range(1, VERSION + 1):
                raise SenmlError(
                    f"{where}.bver: version {shown(version)} where 1 to {VERSION} is understood"
                )
            if self._version not in (None, version):
                raise SenmlError(f"{where}.bver: version {version} after {self._version}")
            self._version = version
        name = _text(fields, "bn", where)
        if name is not None:
            if len(name) > MAX_NAME:
                raise SenmlError(f"{where}.bn: longer than {MAX_NAME} characters")
            self._name = name
        unit = _text(fields, "bu", where)
        if unit is not None:
            check_unit(unit, where)
            self._unit = unit
        time, value, total = (_number(fields, field, where) for field in ("bt", "bv", "bs"))
        self._time = self._time if time is None else time
        self._value = self._value if value is None else value
        self._sum = self._sum if total is None else total

    def _resolved_value(self, fields: Mapping[str, Any], where: str) -> Value:
        present = [field for field in _VALUES if field in fields]
        if len(present) > 1:
            raise SenmlError(f"{where}: more than one value ({', '.join(present)})")
        kind = present[0] if present else "v"
        if kind == "v":
            # A missing value counts as zero where there is a base value (RFC 8428, 4.5.4).
            return _sum(self._value, _number(fields, "v", where), f"{where}.v")
        value = fields[kind]
        if kind == "vb":
            if not isinstance(value, bool):
                raise SenmlError(f"{where}.vb: {shown(value)} where true or false is wanted")
            return value
        if kind == "vd" and self._form is Form.CBOR:
            if not isinstance(value, bytes):
                raise SenmlError(f"{where}.vd: {shown(value)} where a byte string is wanted")
            return value
        text = _text(fields, kind, where) or ""
        if kind == "vd":
            return base64_text.decode(text, f"{where}.vd")
        check_text(text, f"{where}.vs")
        return text

    def _absolute(self, time: float | None) -> float:
        if time is None:
            return 0.0
        return time if time >= ABSOLUTE_TIME else self._now + time


def _text(fields: Mapping[str, Any], field: str, where: str) -> str | None:
    if field not in fields:
        return None
    value = fields[field]
    if not isinstance(value, str):
        raise SenmlError(f"{where}.{field}: {shown(value)} where a string is wanted")
    return value


def _number(fields: Mapping[str, Any], field: str, where: str) -> float | None:
    if field not in fields:
        return None
    value = fields[field]
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise SenmlError(f"{where}.{field}: {shown(value)} where a number is wanted")
    return _finite(float(value), f"{where}.{field}")


def _sum(base: float | None, value: float | None, where: str) -> float | None:
    """Base and value together; a missing one counts as zero, both missing as nothing."""
    if base is None or value is None:
        return base if value is None else value
    return _finite(base + value, where)


def _finite(number: float, where: str) -> float:
    if not math.isfinite(number):
        raise SenmlError(f"{where}: a number that is not finite")
    return number
