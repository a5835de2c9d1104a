"""JSON values to tensors and back."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from serving.embedded.dtypes import INPUT_TYPES, TensorSpec
from serving.embedded.errors import ServingError
from serving.embedded.request_tensors import (
    bytes_from_base64,
    feeds_from_document,
    tensor_from_json,
)
from serving.embedded.response_tensors import (
    columns_to_json,
    dump,
    floats_to_json,
    rows_to_json,
    tensor_to_json,
)

shapes = npst.array_shapes(min_dims=0, max_dims=4, max_side=4)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)


@given(npst.arrays(np.int32, shapes))
def test_integers_of_any_shape_come_back(tensor):
    read = tensor_from_json(json.loads(json.dumps(tensor.tolist())), "int32")
    np.testing.assert_array_equal(read, tensor)
    assert read.dtype == np.int32
    assert tensor_to_json("y", read, "int32") == tensor.tolist()


@given(npst.arrays(np.float32, shapes, elements=finite))
def test_nine_digits_bring_every_float_back(tensor):
    written = floats_to_json(tensor)
    np.testing.assert_array_equal(np.asarray(written, np.float32), tensor)
    assert all(float(f"{x:.9g}") == x for x in np.ravel(written))


@pytest.mark.parametrize(
    ("number", "written"),
    [(0.1, 0.1), (16777217, 16777216.0), (1e30, 1e30), (0.019653125, 0.0196531247), (1e-45, 0.0)],
)
def test_floats_as_the_real_server_prints_them(number, written):
    assert floats_to_json(np.float32([number])) == [written]


def test_special_floats_are_bare_tokens():
    tensor = np.float32([np.nan, np.inf, -np.inf, -0.0])
    assert dump(floats_to_json(tensor)) == b"[NaN, Infinity, -Infinity, -0.0]"


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [("int8", 300, 44), ("uint8", -1, 255), ("int16", 40000, -25536), ("float", 1e39, np.inf)],
)
def test_small_types_wrap_and_floats_overflow(dtype, value, expected):
    assert tensor_from_json([value], dtype).tolist() == [expected]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int32", 1 << 31),
        ("int32", 1.0),
        ("int32", True),
        ("uint32", -1),
        ("int64", 1 << 63),
        ("uint64", 1 << 64),
        ("float", "1"),
        ("float", True),
        ("float", None),
        ("float", {"b64": "AA=="}),
        ("bool", 1),
        ("string", 1),
        ("string", None),
    ],
)
def test_values_of_another_type_are_refused(dtype, value):
    with pytest.raises(ServingError, match=f"is not of expected type: {dtype}"):
        tensor_from_json([value], dtype)


def test_64_bits_stay_exact():
    assert tensor_from_json([(1 << 64) - 1], "uint64").tolist() == [(1 << 64) - 1]
    assert tensor_from_json([-(1 << 63)], "int64").tolist() == [-(1 << 63)]


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "uint16", "complex64"])
def test_types_that_json_cannot_carry(dtype):
    with pytest.raises(ServingError, match=f"to type: {dtype}") as refused:
        tensor_from_json([1], dtype)
    assert refused.value.http_status == 501
    with pytest.raises(ServingError, match=f"Failed to write JSON value for tensor type: {dtype}"):
        tensor_to_json("y", np.zeros(1), dtype)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[1, 2], [3]], "unexpected size: 1 at level: 1 expected size: 2"),
        ([[1, 2], 3], "JSON Value: 3 found at incorrect level: 2"),
        ([1, [2]], "unexpected level: 1 expected < 1"),
        ([[[1]], [[2, 3]]], "unexpected size: 2 at level: 2 expected size: 1"),
    ],
)
def test_ragged_lists_are_refused(value, words):
    with pytest.raises(ServingError, match=words):
        tensor_from_json(value, "float")


def test_empty_lists_are_empty_tensors():
    assert tensor_from_json([], "float").shape == (0,)
    assert tensor_from_json([[], []], "string").shape == (2, 0)


def test_too_many_dimensions_are_refused():
    value = 1
    for _ in range(33):
        value = [value]
    with pytest.raises(ServingError, match="at most 32 dimensions"):
        tensor_from_json(value, "int32")


@given(st.binary())
def test_base64_with_and_without_padding(data):
    text = base64.b64encode(data).decode()
    assert bytes_from_base64({"b64": text}) == data
    assert bytes_from_base64({"b64": text.rstrip("=")}) == data
    assert bytes_from_base64({"b64": "\n ".join(text)}) == data


@pytest.mark.parametrize("text", ["!!!!", "-_-_", "A", "AAAAA", "\u00e9\u00e9\u00e9\u00e9"])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(ServingError, match="Unable to base64 decode"):
        bytes_from_base64({"b64": text})


TWO = {"a": TensorSpec("a:0", "float"), "b": TensorSpec("b:0", "string")}


def test_rows_and_columns_give_the_same_tensors():
    rows, by_rows = feeds_from_document(
        {"instances": [{"a": [1], "b": "x"}, {"a": [2], "b": {"b64": "eQ=="}}]}, TWO
    )
    columns, by_columns = feeds_from_document(
        {"inputs": {"a": [[1], [2]], "b": ["x", {"b64": "eQ=="}]}}, TWO
    )
    assert (by_rows, by_columns) == (True, False)
    for key in TWO:
        np.testing.assert_array_equal(rows[key], columns[key])
    assert rows["b"].tolist() == [b"x", b"y"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"instances": [{"a": 1, "b": "x"}, 2]}, "Expecting object but got list at item 1"),
        ({"instances": [{"a": 1, "b": "x", "c": 1}]}, "does not have named input: c"),
        ({"instances": [{"a": 1, "b": "x"}, {"a": "1", "b": "x"}]}, "element: 1 key: a"),
        (
            {"instances": [{"a": [1, 2], "b": "x"}, {"a": [[1, 2]], "b": "x"}]},
            r"Expecting shape \[2\] but got: \[1,2\]",
        ),
        ({"inputs": [1]}, "expecting an object as multiple input tensors"),
    ],
)
def test_rows_that_do_not_fit_are_named(document, words):
    with pytest.raises(ServingError, match=words):
        feeds_from_document(document, TWO)


OUT = {"y": TensorSpec("y:0", "float"), "z": TensorSpec("z:0", "int32")}


def test_outputs_by_rows_and_by_columns():
    outputs = {"y": np.float32([0.5, 1]), "z": np.int32([[1, 2], [3, 4]])}
    assert rows_to_json(outputs, OUT) == [{"y": 0.5, "z": [1, 2]}, {"y": 1.0, "z": [3, 4]}]
    assert columns_to_json(outputs, OUT) == {"y": [0.5, 1.0], "z": [[1, 2], [3, 4]]}
    assert rows_to_json({"y": outputs["y"]}, OUT) == [0.5, 1.0]


def test_rows_need_one_batch_size():
    with pytest.raises(ServingError, match="inconsistent batch size: 1 expecting: 2"):
        rows_to_json({"y": np.float32([1, 2]), "z": np.int32([1])}, OUT)


def test_strings_named_bytes_come_in_base64_and_others_as_they_are():
    tensor = np.array([b"\xff"], np.object_)
    assert tensor_to_json("x_bytes", tensor, "string") == [{"b64": "/w=="}]
    assert dump(tensor_to_json("x", tensor, "string")) == b'["\xff"]'


def test_every_readable_type_is_written_back():
    for dtype, input_type in INPUT_TYPES.items():
        tensor = np.ones(2, input_type.numpy) if dtype != "string" else np.array([b"a", b"b"], "O")
        read = tensor_from_json(tensor_to_json("y", tensor, dtype), dtype)
        np.testing.assert_array_equal(read, tensor)
