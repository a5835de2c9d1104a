"""The form of SenML's early drafts, which course clients send, told as that of RFC 8428.

``{"bn": …, "bt": …, "e": [{"n": …, "u": …, "t": …, "v" | "sv" | "bv": …}]}``, with what the RFC
brought later (``vs``, ``vb``, ``vd``) mixed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_client.senml import json_form
from edge_client.senml.record import SenmlError, shown

_ENTRY = {"sv": "vs", "bv": "vb"}


def unfolded(values: Any) -> Sequence[dict[str, Any]]:
    """The records in the RFC's labels, the first of them with the base fields.

    Raises:
        SenmlError: no object, or without a list of objects as its ``e``.
    """
    if not isinstance(values, dict):
        raise SenmlError(f"SenML: an object with the list 'e' is wanted, not {shown(values)}")
    base = {("bver" if name == "ver" else name): value for name, value in values.items()}
    if "e" not in base:
        raise SenmlError("SenML: no field 'e'; the draft form has its records there")
    records = [
        _renamed(entry, f"SenML[{i}]") for i, entry in enumerate(json_form.entries(base.pop("e")))
    ]
    if records:
        records[0] = {**base, **records[0]}
    return records


def folded(base: dict[str, Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The inverse, for records in the RFC's labels without base fields."""
    return {**base, "e": list(records)}


def _renamed(entry: dict[str, Any], where: str) -> dict[str, Any]:
    values = {_ENTRY.get(name, name): value for name, value in entry.items()}
    if len(values) != len(entry):
        raise SenmlError(f"{where}: more than one value")
    return values
