"""Measurements survive JSON; nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.errors import EdgeError
from edge_client.measurement import (
    MAX_MEASUREMENT_BYTES,
    Machine,
    Measurement,
    MeasurementError,
    this_machine,
)

GIVEN = Measurement(
    device="pi-1",
    model="kws-a",
    version="3",
    model_sha256="0f" * 32,
    measured_at="2026-11-20T12:00:00Z",
    features_ms=4.5,
    inference_ms=1.25,
    total_ms=5.75,
    runs=500,
    resident_mb=71.3,
    machine=Machine("aarch64", "Raspberry Pi 4 Model B Rev 1.4", "Linux 6.12.34", 4),
)


def changed(**values) -> bytes:
    return json.dumps({**GIVEN.to_json(), **values}).encode()


def test_there_and_back() -> None:
    assert Measurement.parse(GIVEN.serialise()) == GIVEN
    assert b"\n" not in GIVEN.serialise()
    assert Measurement.parse(changed(resident_mb=None)).resident_mb is None


def test_this_machine_is_one_that_is_taken() -> None:
    machine = this_machine()
    assert machine.architecture
    assert Measurement.of({**GIVEN.to_json(), "machine": vars(machine)}).machine == machine


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"device": "../pi"}, "measurement.device: '../pi' where a string like"),
        ({"version": ""}, "measurement.version"),
        ({"model_sha256": "0F" * 32}, "measurement.model_sha256"),
        ({"measured_at": "2026-13-20T12:00:00Z"}, "is no moment"),
        ({"measured_at": "yesterday"}, "measurement.measured_at"),
        ({"total_ms": -1}, "measurement.total_ms: -1.0 where a number not below 0"),
        ({"total_ms": True}, "measurement.total_ms"),
        ({"runs": 0}, "measurement.runs"),
        ({"machine": {}}, "measurement.machine: no field 'architecture'"),
        ({"machine": None}, "measurement.machine"),
        ({"voltage": 5}, "unknown field 'voltage'"),
    ],
)
def test_what_cannot_be_is_named(values, message: str) -> None:
    with pytest.raises(MeasurementError) as error:
        Measurement.parse(changed(**values))
    assert message in str(error.value)


def test_what_is_too_large_is_not_even_read() -> None:
    with pytest.raises(MeasurementError, match="larger than the 8192 bytes"):
        Measurement.parse(b" " * MAX_MEASUREMENT_BYTES + b"{}")


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(list(GIVEN.to_json())), inner, max_size=11)
        ),
        max_leaves=12,
    ).map(lambda values: json.dumps(values).encode())
)
def test_anything_else_costs_one_line(data: bytes) -> None:
    with pytest.raises(EdgeError) as error:
        Measurement.parse(data, "pi-1.json")
    assert str(error.value).startswith("pi-1.json")
    assert "\n" not in str(error.value)
