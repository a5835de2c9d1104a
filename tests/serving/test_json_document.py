"""Reading request bodies as RapidJSON reads them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.embedded.errors import ServingError
from serving.embedded.json_document import (
    MAX_NESTING,
    MAX_QUOTED,
    parse,
    parse_with_rapidjson_numbers,
    quote,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(json_values)
def test_reads_what_python_writes(value):
    assert parse(json.dumps(value).encode()) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rapidjson_numbers_are_nearly_the_nearest_doubles(number):
    read = parse_with_rapidjson_numbers(repr(number).encode())
    # RapidJSON's division by 1e308 loses digits of subnormal numbers.
    assert math.isclose(read, number, rel_tol=1e-15, abs_tol=1e-307)


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_integers_of_64_bits_stay_exact(number):
    assert parse_with_rapidjson_numbers(str(number).encode()) == number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # The doubles next to the nearest one, as recorded from the real server.
        ("123456789.123456789", 123456789.12345681),
        ("1e-400", 0.0),
        ("0.1", 0.1),
        ("5e-310", 5e-310),
    ],
)
def test_rapidjson_numbers(text, value):
    assert parse_with_rapidjson_numbers(text.encode()) == value


@pytest.mark.parametrize("text", ["1e400", "-1e309", "9" * 400, "9" * 5000, "9" * 400 + ".5"])
def test_numbers_beyond_float64_are_refused(text):
    with pytest.raises(ServingError, match="Number too big"):
        parse_with_rapidjson_numbers(text.encode())


def test_the_first_of_repeated_keys_counts():
    assert parse(b'{"a": 1, "b": 2, "a": 3}') == {"a": 1, "b": 2}


def test_short_infinity_is_a_number_but_not_within_a_string():
    assert parse(b'[Inf, -Inf, "Inf \\" Inf", Infinity]') == [
        math.inf,
        -math.inf,
        'Inf " Inf',
        math.inf,
    ]


def test_bytes_that_are_no_utf8_pass_through():
    assert parse(b'"\xff\xfe"').encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_a_byte_order_mark_is_skipped():
    assert parse(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize("body", [rb'"\ud800"', rb'"\udc00"', rb'"\ud800\u0041"'])
def test_half_a_surrogate_pair_is_refused(body):
    with pytest.raises(ServingError, match="surrogate pair"):
        parse(body)


def test_whole_surrogate_pairs_and_escaped_backslashes_are_read():
    assert parse(rb'["\ud83d\ude00", "\\ud800"]') == ["\U0001f600", r"\ud800"]


@pytest.mark.parametrize("body", [b"", b"  \n", b"[1,]", b"[+1]", b"[01]", b"[.5]", b"{'a':1}"])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(ServingError, match="JSON Parse error") as refused:
        parse(body)
    assert refused.value.http_status == 400


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_nesting_is_limited_before_it_is_parsed(opening):
    with pytest.raises(ServingError, match=f"more than {MAX_NESTING} deep"):
        parse(opening * 100_000)


def test_brackets_side_by_side_or_in_strings_are_no_nesting():
    assert len(parse(b"[" + b",".join([b"[]"] * 1000) + b"]")) == 1000
    assert parse(b'["' + b"[" * 1000 + b'"]') == ["[" * 1000]
    assert parse(b"[" * MAX_NESTING + b"]" * MAX_NESTING)


def test_quoted_values_are_cut():
    assert quote({"a": 1}) == '{\n    "a": 1\n}'
    assert len(quote("x" * 10_000)) == MAX_QUOTED + len("...")
