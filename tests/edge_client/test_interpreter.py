"""One model on one thread: what reaches it, what comes back, and models that do not run."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.bundle import TensorQuantization
from edge_client.features.spec import SpecError, Standardisation
from edge_client.interpreter import Interpreter, ModelError
from tests.edge_client import tiny

PLAIN = Standardisation((0.0,), (1.0,))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_fused_float_inference_is_standardise_then_multiply(seed):
    random = np.random.default_rng(seed)
    weights, bias = random.normal(size=(4, 6)), random.normal(size=4)
    standardisation = Standardisation((1.0, -20.0, 300.0), (0.5, 3.0, 70.0))
    run = Interpreter(tiny.linear_model(weights, bias, (1, 6)), standardisation)
    rows = (random.normal(size=(2, 3)) * [1, 5, 90] + [1, -20, 300]).astype(np.float32)
    wanted = standardisation(rows).reshape(-1) @ weights.T + bias
    np.testing.assert_allclose(run(rows), wanted, rtol=1e-3, atol=1e-3)


def test_fused_quantisation_is_standardise_then_round_then_saturate():
    """Against the same model fed by hand with what quantisation should give."""
    weights = np.eye(3)
    model = tiny.linear_model(weights, np.zeros(3), (1, 3), int8=True)
    standardisation = Standardisation((5.0, 0.0, -3.0), (2.0, 0.1, 10.0))
    run = Interpreter(model, standardisation)
    stored = run.quantization.input
    assert stored is not None
    assert stored == TensorQuantization("int8", pytest.approx(8 / 127), 0)
    assert run.quantization.output == TensorQuantization("int8", 0.125, 0)
    rows = np.array([[9.0, 0.3, 1e6]], np.float32)
    integers = np.clip(np.rint(standardisation(rows) / stored.scale), -128, 127)
    wanted = np.rint(integers * stored.scale / 0.125) * 0.125
    np.testing.assert_allclose(run(rows), wanted[0], atol=0.126)
    assert run(rows)[2] == 8.0  # the largest input an int8 of this scale holds
    assert run(np.array([[5.0, 0.0, -1e6]], np.float32))[2] == -8.125  # and the smallest


@pytest.mark.parametrize(
    ("dtype", "zero", "least", "most"), [("int8", 17, -128, 127), ("uint8", 200, 0, 255)]
)
def test_inputs_are_rounded_to_even_about_the_zero_point_and_saturate(dtype, zero, least, most):
    run = Interpreter(tiny.dequantising_model(6, dtype, 0.25, zero), PLAIN)
    assert run.quantization.input == TensorQuantization(dtype, 0.25, zero)
    assert run.quantization.output is None
    rows = np.array([[0.0, 0.2, -0.2, 1.1, -1e6, 1e6]], np.float32)
    steps = [0, 1, -1, 4, least - zero, most - zero]
    np.testing.assert_array_equal(run(rows), np.float32(0.25) * np.float32(steps))
    # Halves go to the even integer, as NumPy and TensorFlow round them.
    halves = np.array([[0.125, 0.375, 0.625, -0.125, -0.375, -0.625]], np.float32)
    np.testing.assert_array_equal(run(halves), np.rint(halves[0] / 0.25 + zero) * 0.25 - zero / 4)


@pytest.mark.parametrize(("dtype", "zero"), [("int8", -100), ("uint8", 30)])
def test_outputs_count_from_their_zero_point(dtype, zero):
    run = Interpreter(tiny.quantising_model(3, dtype, 0.5, zero), PLAIN)
    assert run.quantization.output == TensorQuantization(dtype, 0.5, zero)
    rows = np.array([[0.0, 2.5, -7.0]], np.float32)
    np.testing.assert_array_equal(run(rows), rows[0])


def test_models_that_are_none():
    standardisation = Standardisation((0.0,), (1.0,))
    model = tiny.linear_model(np.eye(3), np.zeros(3), (1, 3))
    for wrong in (b"", b"no model", model[: len(model) // 2], bytes(1000)):
        with pytest.raises(ModelError, match=r"^m: LiteRT cannot load it"):
            Interpreter(wrong, standardisation, "m")
    with pytest.raises(ModelError, match="not rows of 2"):
        Interpreter(model, Standardisation((0.0, 0.0), (1.0, 1.0)), "m")


@pytest.mark.parametrize(
    ("mean", "std"), [(0.0, 1e-320), (0.0, 1e-40), (0.0, 1e60), (1e30, 1e-30), (1e308, 1.0)]
)
@pytest.mark.parametrize("int8", [False, True])
def test_a_standardisation_beyond_float32_is_refused(mean, std, int8):
    model = tiny.linear_model(np.eye(3), np.zeros(3), (1, 3), int8=int8)
    with pytest.raises(ModelError, match=r"^m: its standardisation does not fit into float32"):
        Interpreter(model, Standardisation((mean,), (std,)), "m")


@pytest.mark.parametrize("std", [0.0, -1.0, float("inf"), float("nan")])
def test_deviations_are_finite_and_above_0(std):
    with pytest.raises(SpecError, match="finite deviations above 0"):
        Standardisation((0.0, 0.0), (1.0, std))


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 1), (1, 2)])
def test_a_model_of_more_than_one_input_or_output_is_refused(inputs, outputs):
    model = tiny.adding_model(2, inputs, outputs)
    with pytest.raises(ModelError, match=f"m: {inputs} inputs and {outputs} outputs; one of each"):
        Interpreter(model, PLAIN, "m")


def test_a_model_that_fails_while_it_runs():
    run = Interpreter(tiny.failing_model(4), PLAIN, "m")
    with pytest.raises(ModelError, match=r"^m: LiteRT cannot run it \(.*gather"):
        run(np.zeros((1, 4), np.float32))


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder searched first for packages, with no LiteRT imported or found behind it."""

    def ours():
        return [n for n in sys.modules if n.split(".")[0] in ("ai_edge_litert", "tflite_runtime")]

    before = {name: sys.modules.pop(name) for name in ours()}
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    yield tmp_path
    for name in ours():
        del sys.modules[name]
    sys.modules.update(before)


def package(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "interpreter.py").write_text(text)


def load():
    return Interpreter(tiny.linear_model(np.eye(3), np.zeros(3), (1, 3)), PLAIN, "m")


def test_without_litert_it_says_what_to_install(packages):
    with pytest.raises(ModelError, match="LiteRT is not installed; pip install ai-edge-litert"):
        load()


@pytest.mark.parametrize("name", ["ai_edge_litert", "tflite_runtime"])
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("raise ImportError('GLIBC_2.99 not found')", "GLIBC_2.99 not found"),
        ("raise AttributeError('_ARRAY_API not found')", "_ARRAY_API not found"),
        ("import a_missing_dependency", "No module named 'a_missing_dependency'"),
    ],
)
def test_a_litert_that_is_installed_but_does_not_load_says_why(packages, name, failure, text):
    package(packages, name, failure)
    with pytest.raises(ModelError, match=f"{name} is installed but does not load .*{text}"):
        load()


def test_a_litert_made_for_another_numpy_costs_one_line(packages):
    """So fails the 32-bit runtime beside NumPy 2."""
    package(
        packages,
        "tflite_runtime",
        "def Interpreter(**options):\n"
        "    cause = ImportError('numpy.core.multiarray failed to import')\n"
        "    raise SystemError('returned a result with an exception set') from cause\n",
    )
    with pytest.raises(ModelError, match=r"^m: LiteRT cannot load it \(numpy.core.multiarray fai"):
        load()
