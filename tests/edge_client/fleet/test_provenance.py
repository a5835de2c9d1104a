from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from edge_client.bundle import Budget
from edge_client.fleet.provenance import Provenance, ProvenanceError, parse_custom

WHOLE = Provenance(
    "kws-a",
    "1.0",
    "ada",
    "2026-11-20T12:00:00Z",
    "keyword_spotting",
    "run-1",
    (Budget("bytes", "<", 25000, 16100, "B"), Budget("accuracy", ">", 90.0, 95.75, "%")),
)


def test_reads_back_what_it_writes():
    assert parse_custom(WHOLE.to_custom()) == WHOLE


def test_can_be_signed():
    assert "16100.0" in encode_canonical(WHOLE.to_custom())


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_every_digit(number):
    budget = Budget("latency", "<", number, -number, "ms")
    read = parse_custom(Provenance(*_parts(), (budget,)).to_custom())
    assert read.budgets == (budget,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "../kws"),
        ("version", ""),
        ("pushed_at", "yesterday"),
        ("pushed_by", "a\nb"),
        ("budgets", {}),
        ("budgets", [{}]),
        ("more", 1),
    ],
)
def test_refuses_what_it_does_not_understand(field, value):
    with pytest.raises(ProvenanceError, match=field.rstrip("s")):
        parse_custom(WHOLE.to_custom() | {field: value})


@pytest.mark.parametrize("text", ["1e999", "nan", "inf", 25.0, "1_0", " 1", "9" * 400])
def test_refuses_what_is_no_number(text):
    custom = WHOLE.to_custom()
    custom["budgets"][0]["required"] = text
    with pytest.raises(ProvenanceError, match="required"):
        parse_custom(custom)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_any_json_is_read_or_refused(value):
    try:
        read = parse_custom({**WHOLE.to_custom(), "budgets": value})
    except ProvenanceError:
        return
    assert all(math.isfinite(budget.required) for budget in read.budgets)


def _parts():
    return ("m", "v", "ada", "2026-11-20T12:00:00Z", "p", "r")
