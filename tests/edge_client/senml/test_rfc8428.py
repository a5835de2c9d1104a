"""RFC 8428 by its own kinds of examples: sections 5.1 (JSON), 6 (CBOR) and the draft before it."""

from __future__ import annotations

import base64
import json

import cbor2
import pytest

from edge_client.senml import Form, Record, SenmlError, parse
from edge_client.senml.cbor_form import LABELS

NOW = 1.75e9


def read(*records, now=NOW):
    """The records of a JSON pack, which CBOR with the RFC's integers must give as well."""
    pack = parse(json.dumps(records).encode(), now=now)
    assert pack.form is Form.JSON
    spelled = [
        {
            LABELS[name]: base64.urlsafe_b64decode(value + "==") if name == "vd" else value
            for name, value in record.items()
        }
        for record in records
    ]
    assert parse(cbor2.dumps(spelled), now=now).records == pack.records
    return pack.records


def test_a_single_data_point():
    assert read({"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}) == (
        Record("urn:dev:ow:10e2073a01080063", 0.0, "Cel", 23.1),
    )


def test_several_data_points_share_a_base_name():
    assert read(
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "u": "A", "v": 1.2},
    ) == (
        Record("urn:dev:ow:10e2073a01080063:voltage", 0.0, "V", 120.1),
        Record("urn:dev:ow:10e2073a01080063:current", 0.0, "A", 1.2),
    )


def test_base_time_base_unit_and_version():
    records = read(
        {
            "bn": "urn:dev:ow:10e2073a0108006:",
            "bt": 1.276020076001e09,
            "bu": "A",
            "bver": 5,
            "n": "voltage",
            "u": "V",
            "v": 120.1,
        },
        {"n": "current", "t": -5, "v": 1.2},
        {"n": "current", "t": -4, "v": 1.3},
        {"n": "current", "v": 1.7},
    )
    assert [record.unit for record in records] == ["V", "A", "A", "A"]
    assert [record.time for record in records] == [
        1.276020076001e09,
        1.276020076001e09 - 5,
        1.276020076001e09 - 4,
        1.276020076001e09,
    ]


def test_times_below_two_to_the_28_count_from_now():
    """Section 4.5.3: a missing time is none, 0 and small times are relative."""
    records = read(
        {"n": "a", "v": 1},
        {"n": "a", "t": 0, "v": 1},
        {"n": "a", "t": -60, "v": 1},
        {"n": "a", "t": 2**28 - 1, "v": 1},
        {"n": "a", "t": 2**28, "v": 1},
        {"n": "a", "bt": -10, "v": 1},
        {"n": "a", "t": 4, "v": 1},
        {"n": "a", "bt": 1.3e9, "t": -1e9, "v": 1},
    )
    assert [record.time for record in records] == [
        0.0,
        NOW,
        NOW - 60,
        NOW + 2**28 - 1,
        2.0**28,
        NOW - 10,
        NOW - 6,
        3e8,
    ]


def test_relative_times_count_from_the_clock_by_default():
    early = parse(b'[{"n":"a","t":-5,"v":1}]').records[0].time
    late = parse(b'[{"n":"a","t":0,"v":1}]').records[0].time
    assert 5 <= late - early < 60


def test_base_values_change_in_the_middle():
    records = read(
        {"bn": "a/", "bv": 20, "bu": "Cel", "n": "x", "v": 1.5},
        {"n": "y", "v": -1},
        {"bn": "b/", "bv": 0, "n": "x", "v": 3, "u": "V"},
        {"n": "y", "vb": True},
    )
    assert records == (
        Record("a/x", 0.0, "Cel", 21.5),
        Record("a/y", 0.0, "Cel", 19.0),
        Record("b/x", 0.0, "V", 3.0),
        Record("b/y", 0.0, "Cel", True),
    )


def test_a_missing_value_or_sum_counts_as_zero_beside_its_base():
    """Section 4.5.4."""
    assert read({"n": "a", "bv": 7}, {"n": "b"}, {"n": "c", "vs": "x"}) == (
        Record("a", value=7.0),
        Record("b", value=7.0),
        Record("c", value="x"),
    )
    assert read({"n": "a", "bs": 2}, {"n": "a", "s": 3}, {"n": "a", "v": 1}) == (
        Record("a", sum=2.0),
        Record("a", sum=5.0),
        Record("a", value=1.0, sum=2.0),
    )


def test_a_sum_needs_no_value():
    assert read({"n": "energy", "u": "J", "s": 12.5, "ut": 60}) == (
        Record("energy", 0.0, "J", None, 12.5),
    )


def test_every_kind_of_value():
    records = read(
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "label", "vs": "Machine Room"},
        {"n": "open", "vb": False},
        {"n": "nfc-reader", "vd": "aGkgCg"},
    )
    assert [record.value for record in records] == [23.1, "Machine Room", False, b"hi \n"]


def test_a_name_may_stand_in_the_base_name_alone():
    assert read({"bn": "urn:dev:ow:1", "v": 1})[0].name == "urn:dev:ow:1"


def test_unknown_fields_are_ignored_unless_they_must_be_understood():
    """Section 4.4 and 12.3: labels that end in an underscore are mandatory to understand."""
    body = b'[{"n":"a","v":1,"foo":{"deep":[1,{"x_":2}]},"_bar":null}]'
    assert parse(body).records == (Record("a", value=1.0),)
    for body in (b'[{"n":"a","v":1},{"n":"a","v":1,"foo_":1}]', b'[{"n":"a","v":1},{"_":0}]'):
        with pytest.raises(SenmlError, match=r"SenML\[1\]: field '.*_', which must be understood"):
            parse(body)
    known = {0: "a", 2: 1}
    assert parse(cbor2.dumps([{**known, "foo": [{"x": [1.5, b"y"]}], 9: 1, -7: {}}])).records
    with pytest.raises(SenmlError, match="'foo_', which must be understood"):
        parse(cbor2.dumps([{**known, "foo_": 1}]))


def test_the_labels_of_cbor():
    assert LABELS == {
        **{"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6},
        **{"n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8},
    }


def test_cbor_byte_by_byte():
    """[{-2: "urn:dev:", -3: 1320067464, 0: "t", 1: "Cel", 2: 23.5}, {0: "d", 8: h'0102'}]"""
    body = bytes.fromhex(
        "82"
        "a5 21 68 75726e3a6465763a 22 1a 4eaea188 00 61 74 01 63 43656c 02 f9 4de0"
        "a2 00 61 64 08 42 0102"
    )
    pack = parse(body)
    assert pack.form is Form.CBOR
    assert pack.records == (
        Record("urn:dev:t", 1320067464.0, "Cel", 23.5),
        Record("urn:dev:d", 1320067464.0, "", b"\1\2"),
    )


def test_cbor_may_have_decimal_fractions():
    body = bytes.fromhex("81 a2 00 61 61 02 c4 82 21 19 6ab3".replace(" ", ""))
    assert parse(body).records == (Record("a", value=273.15),)


def test_a_stock_course_client():
    audio = bytes(range(256)) * 125
    coded = base64.b64encode(audio).decode()
    assert "+" in coded and "/" in coded
    body = {
        "bn": "http://192.168.1.92/",
        "bt": 1600000000,
        "e": [{"n": "audio", "u": "/", "t": 0, "vd": coded}],
    }
    pack = parse(json.dumps(body).encode())
    assert pack.form is Form.DRAFT
    assert pack.records == (Record("http://192.168.1.92/audio", 1.6e9, "/", audio),)


def test_the_draft_form_with_all_it_may_hold():
    body = {
        "bn": "my pi/",
        "bt": 1600000000.5,
        "bu": "%RH",
        "ver": 1,
        "e": [
            {"n": "a", "t": 2, "v": 1},
            {"n": "b", "sv": "draft"},
            {"n": "c", "vs": "later"},
            {"n": "d", "bv": True},
            {"n": "e", "vb": False},
            {"n": "f", "vd": "-_8"},
            {"n": "g", "s": 4, "unknown": []},
        ],
    }
    records = parse(json.dumps(body).encode(), Form.DRAFT).records
    assert [record.name for record in records] == [f"my pi/{letter}" for letter in "abcdefg"]
    assert [record.value for record in records] == [
        *(1.0, "draft", "later", True, False, b"\xfb\xff", None)
    ]
    assert records[0] == Record("my pi/a", 1600000002.5, "%RH", 1.0)
    assert records[6].sum == 4.0
