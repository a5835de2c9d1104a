"""TFLite files answer as the Keras model does, in the number formats they promise."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.compression.compress import Compressor


def operators(data: bytes) -> list[str]:
    interpreter = tf.lite.Interpreter(
        model_content=data,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return [operator["op_name"] for operator in interpreter._get_ops_details()]


@pytest.mark.parametrize(
    ("step", "tolerance"), [("float32", 1e-5), ("float16", 5e-3), ("weights_only", 0.05)]
)
def test_float_files_give_the_probabilities_of_the_keras_model(
    keywords, compressor, recipe, run, step, tolerance
) -> None:
    inputs = keywords.task.validation.inputs[:12]
    expected = tf.nn.softmax(keywords.model(inputs)).numpy()
    data = compressor(recipe(step)).data
    np.testing.assert_allclose(run(data, inputs), expected, atol=tolerance)


@pytest.mark.parametrize("per_channel", [True, False])
def test_int8_goes_in_and_out_and_the_answers_stay(
    keywords, compressor, recipe, run, per_channel
) -> None:
    options = {} if per_channel else {"per_channel": False}
    data = compressor(recipe({"step": "int8", "samples": 60, **options})).data
    interpreter = tf.lite.Interpreter(model_content=data)
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["dtype"] == answer["dtype"] == np.int8
    assert list(given["shape"]) == [1, 15, 8, 1]
    assert answer["quantization"] == (1 / 256, -128)
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(operators(data))
    validation = keywords.task.validation
    expected = tf.nn.softmax(keywords.model(validation.inputs)).numpy()
    outputs = run(data, validation.inputs)
    assert np.abs(outputs - expected).mean() < 0.05
    assert (outputs.argmax(-1) == validation.targets.argmax(-1)).mean() > 0.9
    scales = [
        len(tensor["quantization_parameters"]["scales"])
        for tensor in interpreter.get_tensor_details()
    ]
    assert max(scales) == (12 if per_channel else 1)


@pytest.mark.parametrize("step", ["float32", "float16", "weights_only"])
def test_the_first_stride_stays_in_float_files(compressor, recipe, step) -> None:
    assert "RESHAPE" not in operators(compressor(recipe(step)).data)


def test_batch_normalisation_is_folded_and_softmax_ends_the_model(compressor, recipe) -> None:
    data = compressor(recipe({"step": "int8", "samples": 60})).data
    assert operators(data) == [
        "RESHAPE",  # the first stride, folded into channels
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "ADD",
        "MEAN",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]


def test_the_same_recipe_gives_the_same_bytes(keywords, compressor, recipe) -> None:
    steps = recipe({"step": "int8", "samples": 60}, "slim", "zlib")
    another = Compressor(keywords.model, keywords.task, keywords.recipe.training)
    assert another(steps) == compressor(steps)


def test_a_linear_forecaster_is_one_operator_in_physical_units(
    records, forecast_compressor, recipe, run
) -> None:
    data = forecast_compressor(recipe("float32")).data
    assert operators(data) == ["FULLY_CONNECTED"]
    validation = records.task.validation
    outputs = run(data, validation.inputs[:20])
    np.testing.assert_allclose(outputs, records.model(validation.inputs[:20]), atol=1e-3)
    assert np.abs(outputs - validation.targets[:20]).mean() < 2


def test_a_linear_forecaster_fits_800_bytes(forecast_compressor, recipe) -> None:
    assert len(forecast_compressor(recipe("float16", "slim", "zlib")).data) <= 800
