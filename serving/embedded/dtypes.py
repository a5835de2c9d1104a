"""Element types of tensors, and which of them can travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a signature: its name in the graph and its element type's name."""

    tensor_name: str
    dtype: str


@dataclass(frozen=True)
class InputType:
    """What JSON values an input tensor takes.

    `range` is that of the JSON integer, which for types below 32 bits is wider than the tensor's:
    the real server wraps such values around.
    """

    numpy: type[np.generic]
    values: frozenset[type]
    range: tuple[int, int] | None = None


_NUMBERS = frozenset({int, float})
_INTEGERS = frozenset({int})
_INT32 = (-(1 << 31), (1 << 31) - 1)

# By the name of the type in TensorFlow. Types that are missing cannot be read from JSON (501).
INPUT_TYPES = {
    "float": InputType(np.float32, _NUMBERS),
    "double": InputType(np.float64, _NUMBERS),
    "int8": InputType(np.int8, _INTEGERS, _INT32),
    "uint8": InputType(np.uint8, _INTEGERS, _INT32),
    "int16": InputType(np.int16, _INTEGERS, _INT32),
    "int32": InputType(np.int32, _INTEGERS, _INT32),
    "int64": InputType(np.int64, _INTEGERS, (-(1 << 63), (1 << 63) - 1)),
    "uint32": InputType(np.uint32, _INTEGERS, (0, (1 << 32) - 1)),
    "uint64": InputType(np.uint64, _INTEGERS, (0, (1 << 64) - 1)),
    "bool": InputType(np.bool_, frozenset({bool})),
    "string": InputType(np.object_, frozenset({bytes})),
}

# Types that can be written to JSON; it happens to be the same ones.
OUTPUT_TYPES = frozenset(INPUT_TYPES)
