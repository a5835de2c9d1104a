"""A TFLite file without what an interpreter does not need."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from components.compression.steps import Context, NoOptions, Stage, register

_FILE_IDENTIFIER = b"TFL3"


@register("slim", Stage.LAYOUT, NoOptions)
def slim(data: bytes, options: NoOptions, context: Context) -> bytes:
    """Rewrites the flatbuffer; the operators, and so the outputs, stay bit for bit the same.

    Dropped: description, metadata, signatures, names, the ranges that quantization was derived
    from, shape signatures.  Merged: equal buffers and equal operator codes.
    """
    return slimmed(data)


def slimmed(data: bytes) -> bytes:
    """See :func:`slim`."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    model.description = None
    model.metadata = None
    model.metadataBuffer = None
    model.signatureDefs = None
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None
            tensor.shapeSignature = None
            _slim_quantization(tensor)
    _merge_buffers(model)
    _merge_operator_codes(model)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def _slim_quantization(tensor: Any) -> None:
    quantization = tensor.quantization
    if quantization is None:
        return
    quantization.min = None
    quantization.max = None
    if quantization.scale is None or not len(quantization.scale):
        tensor.quantization = None


def _merge_buffers(model: Any) -> None:
    """Buffer 0 is empty by convention: tensors without constant data point there."""
    merged = [schema.BufferT()]
    place = {b"": 0}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
            if content not in place:
                place[content] = len(merged)
                merged.append(model.buffers[tensor.buffer])
            tensor.buffer = place[content]
    model.buffers = merged


def _merge_operator_codes(model: Any) -> None:
    merged: list[Any] = []
    place: dict[tuple[Any, ...], int] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            key = (code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version)
            if key not in place:
                place[key] = len(merged)
                merged.append(code)
            operator.opcodeIndex = place[key]
    model.operatorCodes = merged
