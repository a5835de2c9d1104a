"""Tensors from the JSON of a request, by the rules of TensorFlow Serving's REST contract."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.embedded.dtypes import INPUT_TYPES, TensorSpec
from serving.embedded.errors import Code, ServingError, invalid
from serving.embedded.json_document import kind, quote

MAX_RANK = 32  # NumPy's limit


def feeds_from_document(
    document: dict[str, Any], inputs: Mapping[str, TensorSpec]
) -> tuple[dict[str, np.ndarray], bool]:
    """The input tensors in a predict request, and whether it has the row form (`instances`).

    Raises INVALID_ARGUMENT on anything that is not one tensor for every input, UNIMPLEMENTED on an
    element type that JSON cannot carry.
    """
    by_rows = "instances" in document
    by_columns = "inputs" in document
    if by_rows and by_columns:
        raise invalid(
            f"JSON Value: {quote(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if by_rows:
        return _feeds_from_rows(document, inputs), True
    if by_columns:
        return _feeds_from_columns(document["inputs"], inputs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _feeds_from_columns(value: Any, inputs: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    if isinstance(value, dict) and not _is_base64(value):
        missing = next((key for key in inputs if key not in value), None)
        if missing is not None:
            raise invalid(f"Missing named input: {missing} in 'inputs' object.")
        return {key: tensor_from_json(value[key], spec.dtype) for key, spec in inputs.items()}
    if len(inputs) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    return {key: tensor_from_json(value, spec.dtype) for key, spec in inputs.items()}


def _feeds_from_rows(
    document: dict[str, Any], inputs: Mapping[str, TensorSpec]
) -> dict[str, np.ndarray]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {quote(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {quote(document)} No values in 'instances' array")
    named = _is_named(rows[0])
    if not named and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    for index, row in enumerate(rows):
        if _is_named(row) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {index} of input list")
    if not named:
        return {key: _stack(rows, spec.dtype, "") for key, spec in inputs.items()}
    for index, row in enumerate(rows):
        _check_keys(index, row, inputs)
    return {
        key: _stack([row[key] for row in rows], spec.dtype, f" key: {key}")
        for key, spec in inputs.items()
    }


def _check_keys(index: int, row: dict[str, Any], inputs: Mapping[str, TensorSpec]) -> None:
    if row.keys() == inputs.keys():
        return
    for key in row:
        if key not in inputs:
            raise invalid(
                f"Failed to process element: {index} key: {key} of 'instances' list. Error: "
                f"INVALID_ARGUMENT: JSON object: does not have named input: {key}"
            )
    raise invalid(
        f"Failed to process element: {index} of 'instances' list. JSON object: {quote(row)} keys "
        f"must be equal to: {','.join(sorted(inputs))}"
    )


def _stack(rows: list[Any], dtype: str, where: str) -> np.ndarray:
    """One tensor of all rows. Rows are gone through one by one only to say which is wrong."""
    try:
        return tensor_from_json(rows, dtype)
    except ServingError:
        first: np.ndarray | None = None
        for index, row in enumerate(rows):
            prefix = f"Failed to process element: {index}{where} of 'instances' list. Error: "
            try:
                tensor = tensor_from_json(row, dtype)
            except ServingError as error:
                if error.code is Code.UNIMPLEMENTED:
                    raise
                raise ServingError(error.code, f"{prefix}{error.code.name}: {error}") from error
            if first is None:
                first = tensor
            elif tensor.size != first.size:
                problem = f"Expecting tensor size: {first.size} but got: {tensor.size}"
                raise invalid(f"{prefix}INVALID_ARGUMENT: {problem}") from None
            elif tensor.shape != first.shape:
                problem = f"Expecting shape {_shape(first)} but got: {_shape(tensor)}"
                raise invalid(f"{prefix}INVALID_ARGUMENT: {problem}") from None
        raise


def _shape(tensor: np.ndarray) -> str:
    return "[" + ",".join(map(str, tensor.shape)) + "]"


def tensor_from_json(value: Any, dtype: str) -> np.ndarray:
    """A tensor of nested lists; its shape is that of the first elements.

    `dtype` is the TensorFlow name of the element type; strings become an array of bytes objects.
    Raises INVALID_ARGUMENT for ragged lists and for values of another type.
    """
    shape = _shape_of_first(value)
    if len(shape) > MAX_RANK:
        raise invalid(f"tensor parsing error: a tensor may have at most {MAX_RANK} dimensions")
    elements = _flatten(value, shape)
    input_type = INPUT_TYPES.get(dtype)
    if input_type is None:
        if not elements:
            raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON values to type: {dtype}")
        raise ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {quote(elements[0])} to type: {dtype}"
        )
    if dtype == "string":
        elements = [_bytes(element) for element in elements]
    elif not set(map(type, elements)) <= input_type.values:
        wrong = next(element for element in elements if type(element) not in input_type.values)
        raise _wrong_type(wrong, dtype)
    if input_type.range is not None and elements:
        _check_range(elements, input_type.range, dtype)
    return _array(elements, input_type.numpy).reshape(shape)


def _array(elements: list[Any], dtype: type[np.generic]) -> np.ndarray:
    if issubclass(dtype, np.integer) and dtype not in (np.uint64, np.int64):
        return np.array(elements, np.int64).astype(dtype)  # wraps around, as the real server does
    if dtype is not np.float32:
        try:
            return np.array(elements, dtype)
        except OverflowError:
            raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    with np.errstate(over="ignore"):
        return _array(elements, np.float64).astype(np.float32)


def _check_range(elements: list[int], allowed: tuple[int, int], dtype: str) -> None:
    for extreme in (min(elements), max(elements)):
        if not allowed[0] <= extreme <= allowed[1]:
            raise _wrong_type(extreme, dtype)


def _wrong_type(value: Any, dtype: str) -> ServingError:
    return invalid(
        f"JSON Value: {quote(value)} Type: {kind(value)} is not of expected type: {dtype}"
    )


def _shape_of_first(value: Any) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _flatten(value: Any, shape: list[int]) -> list[Any]:
    if not shape:
        return [value]
    elements = value
    for level in range(1, len(shape)):
        deeper: list[Any] = []
        for item in elements:
            if not isinstance(item, list):
                raise invalid(
                    f"JSON Value: {quote(item)} found at incorrect level: {level + 1} in the JSON "
                    f"DOM. Expected at level: {len(shape)}"
                )
            if len(item) != shape[level]:
                raise invalid(
                    f"Encountered list at unexpected size: {len(item)} at level: {level} "
                    f"expected size: {shape[level]}"
                )
            deeper.extend(item)
        elements = deeper
    if list in set(map(type, elements)):
        rank = len(shape)
        raise invalid(f"Encountered list at unexpected level: {rank} expected < {rank}")
    return elements


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_named(row: Any) -> bool:
    return isinstance(row, dict) and not _is_base64(row)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return bytes_from_base64(value)
    raise _wrong_type(value, "string")


def bytes_from_base64(value: dict[str, Any]) -> bytes:
    """The bytes in ``{"b64": "..."}``; padding may be missing, white space is skipped."""
    if not _is_base64(value):
        raise invalid(f"JSON Value: {quote(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            bare = "".join(text.split()).rstrip("=")
            return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError as error:  # binascii.Error is one; so is what text beyond ASCII raises
        raise invalid("Unable to base64 decode") from error
