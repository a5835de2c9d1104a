"""Slimming and packing change the bytes and nothing else."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

STEPS = [
    "float32",
    "float16",
    "weights_only",
    {"step": "int8", "samples": 60},
    {"step": "int8", "samples": 60, "per_channel": False},
]


@pytest.mark.parametrize("step", STEPS)
def test_slim_files_answer_bit_for_bit_the_same(compressor, keywords, recipe, run, step) -> None:
    plain, slim = compressor(recipe(step)).data, compressor(recipe(step, "slim")).data
    assert len(slim) < len(plain)
    inputs = keywords.task.validation.inputs[:24]
    np.testing.assert_array_equal(run(slim, inputs), run(plain, inputs))


@pytest.mark.parametrize("step", STEPS[:4])
def test_slim_forecasters_too(forecast_compressor, records, recipe, run, step) -> None:
    plain = forecast_compressor(recipe(step)).data
    slim = forecast_compressor(recipe(step, "slim")).data
    inputs = records.task.validation.inputs[:24]
    np.testing.assert_array_equal(run(slim, inputs), run(plain, inputs))


def test_slim_files_hold_nothing_an_interpreter_can_do_without(compressor, recipe) -> None:
    data = compressor(recipe(STEPS[3], "slim")).data
    assert data[4:8] == b"TFL3"
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    assert model.description is None
    assert not model.metadata
    assert not model.signatureDefs
    (graph,) = model.subgraphs
    assert not graph.name
    for tensor in graph.tensors:
        assert not tensor.name
        assert tensor.shapeSignature is None
        assert tensor.quantization is None or tensor.quantization.min is None
    contents = [bytes(b.data) if b.data is not None else b"" for b in model.buffers]
    assert contents[0] == b""
    assert len(contents) == len(set(contents))
    codes = [code.builtinCode for code in model.operatorCodes]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("before", [("float16",), (STEPS[3], "slim")])
def test_a_packed_file_unpacks_to_the_file(compressor, recipe, before) -> None:
    plain, packed = compressor(recipe(*before)), compressor(recipe(*before, "zlib"))
    assert (plain.compression, plain.file) == ("none", "model.tflite")
    assert (packed.compression, packed.file) == ("zlib", "model.tflite.zlib")
    assert zlib.decompress(packed.data) == plain.data
    assert len(packed.data) <= len(zlib.compress(plain.data, 9))
