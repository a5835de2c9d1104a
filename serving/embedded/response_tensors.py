"""Tensors to the JSON of an answer, as TensorFlow Serving writes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from serving.embedded.dtypes import OUTPUT_TYPES, TensorSpec
from serving.embedded.errors import invalid

_SMALLEST_NORMAL = np.finfo(np.float32).tiny


def rows_to_json(outputs: Mapping[str, np.ndarray], specs: Mapping[str, TensorSpec]) -> list[Any]:
    """One entry a row: the value where there is one output, else an object of all outputs."""
    columns: dict[str, list[Any]] = {}
    batch: int | None = None
    for key, tensor in outputs.items():
        if tensor.ndim == 0:
            raise invalid(f"Tensor name: {key} has no shape information ")
        if batch is not None and len(tensor) != batch:
            raise invalid(
                f"Tensor name: {key} has inconsistent batch size: {len(tensor)} expecting: {batch}"
            )
        batch = len(tensor)
        columns[key] = tensor_to_json(key, tensor, specs[key].dtype)
    if len(columns) == 1:
        return next(iter(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def columns_to_json(outputs: Mapping[str, np.ndarray], specs: Mapping[str, TensorSpec]) -> Any:
    """The one output's value, or an object of all outputs."""
    columns = {
        key: tensor_to_json(key, tensor, specs[key].dtype) for key, tensor in outputs.items()
    }
    return next(iter(columns.values())) if len(columns) == 1 else columns


def tensor_to_json(key: str, tensor: np.ndarray, dtype: str) -> Any:
    """Nested lists; strings of outputs whose name ends in ``_bytes`` are wrapped in base64."""
    if dtype not in OUTPUT_TYPES:
        raise invalid(f"Failed to write JSON value for tensor type: {dtype}")
    if dtype == "string":
        encode = _base64_object if key.endswith("_bytes") else _text
        return _map_nested(encode, tensor.tolist())
    if dtype == "float":
        return floats_to_json(tensor)
    return tensor.tolist()


def floats_to_json(tensor: np.ndarray) -> Any:
    """float32 values as the real server prints them: six digits where they suffice, else nine.

    Subnormal numbers become zero, as they do there.
    """
    flat = np.where(np.abs(tensor) < _SMALLEST_NORMAL, np.copysign(0, tensor), tensor).ravel()
    rounded = _through_text(flat, "%.6g ")
    with np.errstate(over="ignore"):
        inexact = rounded.astype(np.float32) != flat
    if inexact.any():
        rounded[inexact] = _through_text(flat[inexact], "%.9g ")
    return rounded.reshape(tensor.shape).tolist()


def _through_text(values: np.ndarray, pattern: str) -> np.ndarray:
    return np.array((pattern * values.size % tuple(values.tolist())).split(), np.float64)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _base64_object(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _map_nested(function: Callable[[bytes], Any], value: Any) -> Any:
    if isinstance(value, list):
        return [_map_nested(function, item) for item in value]
    return function(value)


def dump(answer: Any) -> bytes:
    """An answer as UTF-8 JSON; NaN, Infinity and -Infinity are bare tokens, as in the contract."""
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogateescape")
