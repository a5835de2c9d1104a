"""What is written is read, in all forms."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.senml import CONTENT_TYPES, Form, Record, SenmlError, parse, write
from tests.edge_client.senml.packs import NAMES, RECORDS, same

FORMS = pytest.mark.parametrize("form", list(Form))
WRITTEN = (Record("pi/t", 1.7e9, "Cel", 21.5), Record("pi/h", 1.7e9 + 60, "%RH", 48.0))


@FORMS
@settings(max_examples=150)
@given(records=st.lists(RECORDS, min_size=1, max_size=6))
def test_what_is_written_is_read(form, records):
    body = write(records, form)
    for pack in (parse(body), parse(body, form)):
        assert pack.form is form
        assert len(pack.records) == len(records)
        for got, wanted in zip(pack.records, records, strict=True):
            assert same(got, wanted)
    assert write(records, form) == body


@FORMS
@given(records=st.lists(RECORDS, min_size=1, max_size=4), base=NAMES, cut=st.integers(0, 50))
def test_a_base_name_is_said_once_and_changes_nothing(form, records, base, cut):
    records = [replace(record, name=base + record.name) for record in records]
    # Any common beginning will do, all of a name included.
    base = (base if len(records) > 1 else records[0].name)[:cut]
    body = write(records, form, base)
    assert all(map(same, parse(body).records, records))


def test_json_is_compact_and_factors_name_and_time():
    assert write(WRITTEN, Form.JSON, "pi/") == (
        b'[{"bn":"pi/","bt":1700000000,"n":"t","u":"Cel","v":21.5},'
        b'{"n":"h","u":"%RH","t":60,"v":48}]'
    )


def test_cbor_uses_integers_and_the_shortest_numbers():
    body = write(WRITTEN, Form.CBOR, "pi/")
    assert cbor2.loads(body) == [
        {-2: "pi/", -3: 1700000000, 0: "t", 1: "Cel", 2: 21.5},
        {0: "h", 1: "%RH", 6: 60, 2: 48},
    ]
    assert cbor2.dumps(21.5, canonical=True) in body and len(body) == 40


def test_the_draft_form_has_its_base_outside():
    assert json.loads(write([replace(WRITTEN[0], value=b"\xfb\xff")], Form.DRAFT, "pi/")) == {
        "bn": "pi/",
        "bt": 1700000000,
        "e": [{"n": "t", "u": "Cel", "vd": "+/8="}],
    }


def test_rfc_json_has_url_safe_base64_without_padding():
    (record,) = json.loads(write([Record("d", value=b"\xfb\xff")], Form.JSON))
    assert record == {"n": "d", "vd": "-_8"}


def test_records_without_time_stay_without_beside_timed_ones():
    records = (*WRITTEN, Record("pi/x", 0.0, "", True))
    assert parse(write(records, Form.JSON)).records == records


def test_a_time_that_no_base_time_gives_exactly_is_said_in_full():
    times = (1.7e9 + 0.1, 3e17)
    assert times[1] + (times[0] - times[1]) != times[0]
    records = tuple(Record("a", time, "", 1.0) for time in reversed(times))
    assert parse(write(records, Form.CBOR)).records == records


@FORMS
@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record("", value=1.0), "SenML[1]: name ''"),
        (Record("x\n", value=1.0), "name 'x\\n'"),
        (Record("x" * 256, value=1.0), "1 to 255"),
        (Record("a", value=None), "neither a value nor a sum"),
        (Record("a", value=math.nan), "finite"),
        (Record("a", value=-math.inf), "finite"),
        (Record("a", value=1.0, sum=math.inf), "SenML[1].s"),
        (Record("a", 100.0, value=1.0), "time 100.0 is not absolute"),
        (Record("a", -1.7e9, value=1.0), "not absolute"),
        (Record("a", math.nan, value=1.0), "not absolute"),
        (Record("a", math.inf, value=1.0), "not absolute"),
        (Record("a", 0.0, "u" * 101, 1.0), "unit"),
        (Record("a", value="\ud800"), "surrogate"),
        (Record("a", value=[1.0]), "a list where a finite number is wanted"),
    ],
)
def test_what_senml_cannot_carry_is_not_written(form, record, message):
    with pytest.raises(SenmlError) as caught:
        write([Record("fine", value=1.0), record], form)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [Form.JSON, Form.CBOR])
@pytest.mark.parametrize("name", ["/a", "a b", "ä", "_a", "a%"])
def test_names_outside_the_alphabet_are_not_written(form, name):
    with pytest.raises(SenmlError, match="letters, digits"):
        write([Record(name, value=1.0)], form)


@FORMS
def test_too_few_or_too_many_records_or_another_base_name(form):
    for records in ([], [Record("a", value=1.0)] * 10_001):
        with pytest.raises(SenmlError, match="1 to 10000"):
            write(records, form)
    with pytest.raises(SenmlError, match="does not begin with 'b'"):
        write([Record("a", value=1.0)], form, "b")
    assert len(parse(write([Record("a", value=1.0)] * 10_000, form)).records) == 10_000


def test_every_form_has_a_content_type():
    assert CONTENT_TYPES == {
        Form.JSON: "application/senml+json",
        Form.CBOR: "application/senml+cbor",
        Form.DRAFT: "application/json",
    }
