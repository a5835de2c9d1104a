"""Whatever comes in, a pack comes out or one line that says what and where."""

from __future__ import annotations

import base64
import json
from datetime import timezone

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_client.senml import Form, Pack, Record, SenmlError, parse, write
from tests.edge_client.senml.packs import JSON, LABELS, PLAIN, RECORDS, same

AUDIO = write([Record("pi/audio", 1.7e9, "int16", bytes(range(256)))], Form.CBOR, "pi/")


def taken_or_refused(body, form=None):
    """Nothing but a SenmlError of one line, and nothing in a pack that could not be written."""
    line = ""
    try:
        pack = parse(body, form, now=1.7e9)
    except SenmlError as error:
        line = str(error)
    if line:
        assert "\n" not in line
        assert len(line) < 400
        return
    assert isinstance(pack, Pack)
    assert 1 <= len(pack.records) <= 10_000
    # A relative time may lead to before 1978, which has no absolute spelling.
    if all(record.time == 0 or record.time >= 2**28 for record in pack.records):
        again = parse(write(pack.records, pack.form)).records
        assert all(map(same, again, pack.records))


def refused(body, form=None):
    with pytest.raises(SenmlError) as caught:
        parse(body if isinstance(body, bytes) else json.dumps(body).encode(), form)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=300)
@given(st.binary(max_size=80))
@example(b"")
@example(b"[")
@example(b"\x81")
@example(b"\xef\xbb\xbf[]")
@example(b"\xff\xfe[\0")
@example(b"[\x80]")
@example(b"[{\x00")
@example(b'[{"n":"\\ud800","v":1}]')
@example(b'[{"n":"a","vs":"\\ud800"}]')
@example(b'[{"\\ud800":1,"n":"a","v":1}]')
@example(b'[{"\\ud800_":1,"n":"a","v":1}]')
@example(b'[{"n":"a","v":1,"u":"\\ud800"}]')
@example(b'{"e":[{"n":"\\ud800","v":1}]}')
@example(b'[{"n":"a","vd":"\\ud800"}]')
def test_arbitrary_bytes(body):
    for form in (None, *Form):
        taken_or_refused(body, form)


@settings(max_examples=300)
@given(JSON)
def test_arbitrary_json(values):
    body = json.dumps(values).encode()
    for form in (None, Form.JSON, Form.DRAFT):
        taken_or_refused(body, form)


FIELDS = st.dictionaries(st.sampled_from(LABELS) | st.text(max_size=3), PLAIN | JSON, max_size=4)


@settings(max_examples=300)
@given(st.lists(FIELDS, max_size=4), FIELDS)
def test_arbitrary_fields(records, base):
    for record in records:
        record.setdefault("n", "a")
    taken_or_refused(json.dumps(records).encode())
    taken_or_refused(json.dumps({**base, "e": records}).encode())


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.decimals(),
    st.datetimes(timezones=st.just(timezone.utc)),
)
CBOR = LEAVES | st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.integers(-8, 10) | st.text(max_size=3), inner, max_size=4),
        st.builds(cbor2.CBORTag, st.integers(0, 300), inner),
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.lists(st.dictionaries(st.integers(-8, 10) | st.text(max_size=3), CBOR), max_size=3))
def test_arbitrary_cbor(records):
    for record in records:
        record.setdefault(0, "a")
    taken_or_refused(cbor2.dumps(records), Form.CBOR)


@settings(max_examples=300)
@given(st.data())
def test_damaged_packs(data):
    records = data.draw(st.lists(RECORDS, min_size=1, max_size=3))
    body = bytearray(write(records, data.draw(st.sampled_from(Form))))
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=4)):
        body[place] ^= 1 << data.draw(st.integers(0, 7))
    taken_or_refused(bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "SenML[1]: name ''"),
        ({"n": "a"}, "SenML[1]: neither a value nor a sum"),
        ({"n": "a", "v": 1, "vs": "x"}, "SenML[1]: more than one value (v, vs)"),
        ({"n": "a", "vb": True, "vd": ""}, "more than one value"),
        ({"n": 1, "v": 1}, "SenML[1].n: 1 where a string"),
        ({"n": "a", "u": None, "v": 1}, "SenML[1].u: None"),
        ({"n": "a", "u": "x" * 101, "v": 1}, "unit"),
        ({"n": "a", "u": "x\ny", "v": 1}, "unit 'x\\ny'"),
        ({"n": "a", "v": "1"}, "SenML[1].v: '1' where a number"),
        ({"n": "a", "v": True}, "SenML[1].v: True where a number"),
        ({"n": "a", "v": [[[]]]}, "a list where a number"),
        ({"n": "a", "vb": 1}, "SenML[1].vb"),
        ({"n": "a", "vb": None}, "SenML[1].vb: None"),
        ({"n": "a", "vs": 1}, "SenML[1].vs: 1 where a string"),
        ({"n": "a", "vs": "\ud800"}, "surrogate"),
        ({"n": "a", "vd": 1}, "SenML[1].vd: 1 where a string"),
        ({"n": "a", "v": 1, "t": "now"}, "SenML[1].t"),
        ({"n": "a", "v": 1, "s": "x"}, "SenML[1].s"),
        ({"n": "a", "v": 1, "ut": "x"}, "SenML[1].ut"),
        ({"n": "a", "v": 1, "bt": False}, "SenML[1].bt"),
        ({"n": "a", "v": 1, "bv": "x"}, "SenML[1].bv"),
        ({"n": "a", "v": 1, "bs": {}}, "SenML[1].bs: a dict"),
        ({"n": "a", "v": 1, "bu": 3}, "SenML[1].bu"),
        ({"n": "a", "v": 1, "bn": 3}, "SenML[1].bn"),
        ({"n": "a", "v": 1, "bn": "x" * 256}, "SenML[1].bn: longer than 255"),
        ({"n": "a" * 256, "v": 1}, "1 to 255"),
        ({"n": "a", "v": 1, "bver": 11}, "version 11 where 1 to 10"),
        ({"n": "a", "v": 1, "bver": 0}, "version 0"),
        ({"n": "a", "v": 1, "bver": True}, "version True"),
        ({"n": "a", "v": 1, "bver": "10"}, "version '10'"),
        ({"n": "a", "v": 1, "bver": 9}, "version 9 after 10"),
        ({"n": "a", "v": 1, "later_": 0}, "'later_', which must be understood"),
        ({"n": "a", "v": 1e308, "bv": 1e308}, "SenML[1].v: a number that is not finite"),
        ({"n": "a", "v": 1, "bt": 1e308, "t": 1e308}, "SenML[1].t"),
        ({"n": "/a", "v": 1}, "name '/a'"),
        ({"n": "a b", "v": 1}, "name 'a b'"),
        ({"n": "a\n", "v": 1}, "name 'a\\n'"),
        ([], "SenML[1]: a record is wanted, not a list"),
        (None, "SenML[1]: a record is wanted, not None"),
    ],
)
def test_a_bad_record_is_named(record, message):
    assert message in refused([{"n": "fine", "v": 1, "bver": 10}, record])


@pytest.mark.parametrize(
    "text",
    [
        *("A", "AAAAA", "AQ=", "AQ===", "AQ=A", "=", "====", "A===", "AAA==", "AAAA="),
        *("+/-_", "A+B-", "AA AA", "AA\nAA", "AAAA\n", "AAé=", "AAAA\0", "%%%%", "AQ==AQ=="),
    ],
)
def test_bad_base64(text):
    for body in ([{"n": "a", "vd": text}], {"e": [{"n": "a", "vd": text}]}):
        assert "SenML[0].vd: " in refused(body)


@given(st.binary(max_size=100))
def test_base64_of_either_alphabet_padded_or_not(data):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        padded = encode(data).decode()
        for text in (padded, padded.rstrip("=")):
            for body in ([{"n": "a", "vd": text}], {"e": [{"n": "a", "vd": text}]}):
                assert parse(json.dumps(body).encode()).records[0].value == data


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"x", "neither JSON nor a CBOR array"),
        (b"\xa1\x00\x61a", "neither JSON nor a CBOR array"),
        (b'"text"', "neither JSON"),
        (b"[", "not JSON: "),
        (b"[] []", "not JSON: Extra data"),
        (b"[]", "0 records where 1 to 10000"),
        (b'{"e":[]}', "0 records where 1 to 10000"),
        (b'{"bn":"x"}', "no field 'e'"),
        (b'{"e":{}}', "an array of records is wanted, not a dict"),
        (b'{"e":[1]}', "SenML[0]: a record is wanted"),
        (b'{"e":[{"n":"a","v":1,"sv":"x"}]}', "more than one value"),
        (b'{"e":[{"n":"a","vs":"y","sv":"x"}]}', "SenML[0]: more than one value"),
        (b'{"e":[{"n":"a","bv":1}]}', "SenML[0].vb: 1"),
        (b'{"ver":11,"e":[{"n":"a","v":1}]}', "version 11"),
        (b'{"must_":1,"e":[{"n":"a","v":1}]}', "'must_'"),
        (b'{"e":[{"v":1}]}', "name ''"),
        (b'[{"n":"a","v":NaN}]', "NaN is no number"),
        (b'[{"n":"a","v":Infinity}]', "Infinity is no number"),
        (b'[{"n":"a","v":-Infinity}]', "-Infinity is no number"),
        (b'[{"n":"a","v":1e999}]', "SenML[0].v: a number that is not finite"),
        (b'[{"n":"a","n":"b","v":1}]', "the field 'n' twice"),
        (b'{"e":[],"e":[]}', "the field 'e' twice"),
        (b'[{"n":"a","v":1,"x":{"y":1,"y":1}}]', "the field 'y' twice"),
        (b'[{"n":"a\xff","v":1}]', "not UTF-8"),
        ('[{"n":"a","v":1}]'.encode("utf-16"), "neither JSON"),
        ('[{"n":"a","v":1}]'.encode("utf-16-le"), "not JSON"),
    ],
)
def test_a_bad_pack_is_named(body, message):
    assert message in refused(body)


def test_a_form_asked_for_is_the_form_taken():
    json_pack, draft = b'[{"n":"a","v":1}]', b'{"e":[{"n":"a","v":1}]}'
    assert parse(json_pack, Form.JSON).records == parse(draft, Form.DRAFT).records
    assert "an array of records is wanted" in refused(draft, Form.JSON)
    assert "an object with the list 'e' is wanted" in refused(json_pack, Form.DRAFT)
    assert "CBOR" in refused(json_pack, Form.CBOR)
    assert "SenML: not" in refused(AUDIO, Form.JSON)


def test_absurd_bodies():
    for body in (b"[" + b" " * 2**24, b"\x81" + b"\0" * 2**24, b"{" * (2**24 + 1)):
        assert "larger than the 16 MiB" in refused(body)


def test_too_many_records():
    assert "10001 records" in refused([{"n": "a", "v": 1}] * 10_001)
    assert "10001 records" in refused({"e": [{"n": "a", "v": 1}] * 10_001})
    assert "10001 records" in refused(cbor2.dumps([{0: "a", 2: 1}] * 10_001))


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 300_000 + b"[]]",
        b"[" + b"{}," * 300_000 + b"{}]",
        b'[{"n":"a","v":1,"x":[' + b"1," * 300_000 + b"1]}]",
        b"\x81\xa1\x61x\x9a\x00\x10\x00\x00" + b"\x80" * 2**20,
    ],
)
def test_too_many_parts(body):
    assert "more than the 300000 values" in refused(body)


@pytest.mark.parametrize("depth", [10, 500, 100_000])
def test_deep_nesting(depth):
    body = b'[{"n":"a","v":1,"x":' + b"[" * depth + b"]" * depth + b"}]"
    taken_or_refused(body)
    taken_or_refused(body.replace(b"[" * depth, b'{"a":' * depth).replace(b"]" * depth, b"1"))
    taken_or_refused(b"[" * depth)
    assert "too deeply" in refused(b"\x81\xa1\x61x" + b"\x81" * depth + b"\0")
    assert "too deeply" in refused(b"\x81\xa1\x61x" + b"\xa1\x00" * depth + b"\0")


def test_a_field_twice_among_many():
    fields = b",".join(b'"%d":0' % (i % 200_000) for i in range(200_001))
    assert "the field '0' twice" in refused(b"[{" + fields + b"}]")


def test_deep_nesting_is_named():
    assert "too deeply" in refused(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("digits", [400, 5000, 1_000_000])
def test_huge_integers(digits):
    body = b'[{"n":"a","v":' + b"9" * digits + b"}]"
    assert "SenML[0].v: a number that is not finite" in refused(body)
    tiny = b'[{"n":"a","v":0.' + b"3" * digits + b"}]"
    assert parse(tiny).records[0].value == 1 / 3


def test_integers_beyond_a_double_are_rounded():
    body = b'[{"n":"a","v":123456789012345678901234567890}]'
    assert parse(body).records[0].value == 123456789012345678901234567890.0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("80", "0 records"),
        ("81", "cut short"),
        ("8101", "SenML[0]: a CBOR map is wanted"),
        ("9f a2 00 61 61 02 01 ff", "indefinite length"),
        ("81 bf 00 61 61 02 01 ff", "indefinite length"),
        ("81 a2 00 7f 61 61 ff 02 01", "indefinite length"),
        ("81 a2 00 61 61 02 01 00", "1 bytes after its end"),
        ("81 a3 00 61 61 02 01 00 61 62", "SenML[0]: the same field twice"),
        # 0 in one byte and 0 in two are the same label.
        ("81 a3 00 61 61 02 01 18 00 61 62", "the same field twice"),
        ("81 a2 61 6e 61 61 02 01", "label 'n', which CBOR spells 0"),
        ("81 a2 00 61 61 02 f9 7e00", "SenML[0].v: a number that is not finite"),
        ("81 a2 00 61 61 02 fb 7ff0000000000000", "not finite"),
        ("81 a2 00 61 61 02 f7", "simple value 23"),
        ("81 a2 00 61 61 02 f8 20", "simple value 24"),
        ("81 a2 00 61 61 02 1c", "indefinite"),
        ("81 a2 00 61 61 03 41 61", "SenML[0].vs: b'a' where a string"),
        ("81 a2 00 61 61 08 61 61", "SenML[0].vd: 'a' where a byte string"),
        ("81 a2 00 41 61 02 01", "SenML[0].n: b'a' where a string"),
        ("81 a2 00 61 ff 02 01", "not CBOR"),
        ("81 a1 80 01", "a label that is neither"),
        ("81 a1 f5 01", "a label that is neither"),
        ("81 a1 41 61 01", "a label that is neither"),
        ("81 a1 61 78 a1 80 01", "a label that is neither"),
        # Lengths that no memory holds.
        ("9b ffffffffffffffff", "18446744073709551615 records"),
        ("81 bb ffffffffffffffff", "cut short"),
        ("81 a1 08 5b ffffffffffffffff", "cut short"),
        ("81 a1 00 7b 7fffffffffffffff 61", "cut short"),
        ("81 a1 61 78 9b 00000000ffffffff", "cut short"),
        ("81 a1 08 5a 0000", "cut short"),
        # Tags that make objects: big numbers, dates, shared references, patterns, sets.
        ("81 a2 00 61 61 02 c2 41 01", "tag 2"),
        ("81 a2 00 61 61 06 c1 00", "tag 1"),
        ("81 a1 61 78 d8 1c 80", "tag 28"),
        ("81 a1 61 78 d8 23 61 61", "tag 35"),
        ("81 a1 61 78 d9 0102 80", "tag 258"),
        ("d9 d9f7 81 a2 00 61 61 02 01", "neither JSON nor a CBOR array"),
        # Decimal fractions: not of two numbers, or of an exponent that costs gigabytes.
        ("81 a2 00 61 61 02 c4 83 00 00 00", "tag 4"),
        ("81 a2 00 61 61 02 c4 00", "tag 4"),
        ("81 a2 00 61 61 02 c4 82 61 61 00", "no double can hold"),
        ("81 a2 00 61 61 02 c4 82 00 f4", "no double can hold"),
        ("81 a2 00 61 61 02 c4 82 1b 7fffffffffffffff 01", "no double can hold"),
        ("81 a2 00 61 61 02 c4 82 19 0190 01", "not finite"),
    ],
)
def test_what_is_no_pack_is_named(body, message):
    assert message in refused(bytes.fromhex(body.replace(" ", "")))


def test_every_way_to_cut_a_pack_short():
    for length in range(1, len(AUDIO)):
        assert "cut short" in refused(AUDIO[:length])
