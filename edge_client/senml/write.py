"""Records to SenML, the same bytes for the same records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edge_client.senml import base64_text, draft_form, json_form
from edge_client.senml.cbor_form import encode_cbor
from edge_client.senml.record import (
    ABSOLUTE_TIME,
    MAX_RECORDS,
    Form,
    Record,
    SenmlError,
    check_name,
    check_text,
    check_unit,
    shown,
)


def write(records: Sequence[Record], form: Form, base_name: str = "") -> bytes:
    """SenML that :func:`~edge_client.senml.parse` reads back as the same records.

    Args:
        records: 1 to 10,000; times are absolute (from 1978 on), or 0.0 for none.
        form: how to spell them.
        base_name: what all names begin with, said only once.

    Raises:
        SenmlError: a record that SenML cannot carry, or whose name begins otherwise.
    """
    if not 1 <= len(records) <= MAX_RECORDS:
        raise SenmlError(f"SenML: {len(records)} records where 1 to {MAX_RECORDS} can be written")
    base: dict[str, Any] = {"bn": base_name} if base_name else {}
    base_time = _base_time(records)
    if base_time:
        base["bt"] = json_form.number(base_time)
    fields = [
        _fields(record, form, base_name, base_time, f"SenML[{i}]")
        for i, record in enumerate(records)
    ]
    if form is Form.DRAFT:
        return json_form.encode_json(draft_form.folded(base, fields))
    fields[0] = {**base, **fields[0]}
    return json_form.encode_json(fields) if form is Form.JSON else encode_cbor(fields)


def _base_time(records: Sequence[Record]) -> float:
    """The first record's time, where all can be told from it exactly; else 0."""
    base = records[0].time
    told = all(record.time and base + (record.time - base) == record.time for record in records)
    return base if told else 0.0


def _fields(
    record: Record, form: Form, base_name: str, base_time: float, where: str
) -> dict[str, Any]:
    check_name(record.name, form, where)
    check_unit(record.unit, where)
    if not record.name.startswith(base_name):
        raise SenmlError(
            f"{where}: name {shown(record.name)} does not begin with {shown(base_name)}"
        )
    if record.time and not ABSOLUTE_TIME <= record.time < math.inf:
        raise SenmlError(f"{where}: time {record.time!r} is not absolute Unix seconds")
    fields: dict[str, Any] = {}
    if len(record.name) > len(base_name):
        fields["n"] = record.name[len(base_name) :]
    if record.unit:
        fields["u"] = record.unit
    if record.time != base_time:
        fields["t"] = json_form.number(record.time - base_time)
    fields.update(_value(record, form, where))
    if record.sum is not None:
        fields["s"] = _number(record.sum, f"{where}.s")
    return fields


def _value(record: Record, form: Form, where: str) -> dict[str, Any]:
    value = record.value
    if value is None:
        if record.sum is None:
            raise SenmlError(f"{where}: neither a value nor a sum")
        return {}
    if isinstance(value, bool):
        return {"vb": value}
    if isinstance(value, str):
        check_text(value, f"{where}.vs")
        return {"vs": value}
    if isinstance(value, bytes):
        if form is Form.CBOR:
            return {"vd": value}
        if form is Form.JSON:
            return {"vd": base64_text.encode_url_safe(value)}
        return {"vd": base64_text.encode_standard(value)}
    return {"v": _number(value, f"{where}.v")}


def _number(value: float, where: str) -> float | int:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise SenmlError(f"{where}: {shown(value)} where a finite number is wanted")
    return json_form.number(float(value))
