"""Small models and bundles made by hand: what the device side needs, without TensorFlow."""

from __future__ import annotations

import io
import wave
from dataclasses import replace

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_client.bundle import (
    AudioInput,
    Budget,
    Deferral,
    FastMode,
    ForecastOutput,
    Golden,
    LabelOutput,
    Learned,
    Manifest,
    Origin,
    RecordInput,
    bundle_bytes,
    pack_model,
    read_bundle,
)
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures, Quantity, RecordWindow, Standardisation
from edge_client.interpreter import Interpreter
from edge_client.predictor import AudioPredictor, RecordPredictor

LABELS = ("high", "low", "silence")
# The offset hides what lies 80 dB below a tone, where each sampling rate has noise of its own.
FEATURES = AudioFeatures(
    "log_mel", mel_bins=16, frame_length_ms=64, frame_step_ms=64, log_offset=0.01
)
FAST = replace(FEATURES, frame_length_ms=32, resize=FEATURES.shape)  # half the FFT
DEFERRAL = Deferral(
    temperature=1.5,
    learned=Learned((0.5, -0.5, 0.25, -1.0, 1.0, 0.0), -0.5),
    fusion=0.25,
    policy="margin",
    thresholds={"margin": 0.8, "entropy": 0.5, "temperature": 0.7, "learned": 0.5},
    target="share < 0.08",
    validation_accuracy=97.5,
    validation_share=0.07,
)
QUANTITIES = (Quantity("T", "T (degC)", "Cel"), Quantity("RH", "rh (%)", "%RH"))
WINDOW = RecordWindow(QUANTITIES, input_steps=3, output_steps=2, interval_s=600.0)
ORIGIN = Origin("test", "run-1", "float32")


class _Builder:
    """A TFLite model, operator after operator; its first subgraph is what is called."""

    def __init__(self):
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.model.subgraphs = []
        self.subgraph()

    def subgraph(self):
        """Begins one; what is added from now on is part of it."""
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs.append(self.graph)

    def ends(self, taken, given):
        """Ends a subgraph that is not the last."""
        self.graph.inputs, self.graph.outputs = taken, given

    def tensor(self, shape, dtype, scale=None, zero=0, data=None):
        made = schema.TensorT()
        made.shape, made.type = list(shape), dtype
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [zero]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, code, inputs, outputs, kind, options, version=1):
        known = schema.OperatorCodeT()
        known.builtinCode = known.deprecatedBuiltinCode = code
        known.version = version
        self.model.operatorCodes.append(known)
        made = schema.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs, made.outputs = inputs, outputs
        made.builtinOptionsType, made.builtinOptions = kind, options
        self.graph.operators.append(made)

    def finish(self, taken, given):
        self.ends(taken, given)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def linear_model(weights, bias, input_shape, softmax=False, int8=False):
    """TFLite model of ``weights [out, in]`` and ``bias [out]``, float32 or int8 throughout."""
    weights, bias = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
    outputs = len(bias)
    make = _Builder()
    options = schema.FullyConnectedOptionsT()
    fully, kind = schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOptions
    if int8:
        scale, wide = 8 / 127, float(np.abs(weights).max() / 127)
        stored = np.rint(weights / wide).astype(np.int8)
        integer, bias_type = schema.TensorType.INT8, schema.TensorType.INT32
        taken = make.tensor(input_shape, integer, scale)
        factor = make.tensor(weights.shape, integer, wide, data=stored)
        added = np.rint(bias / (scale * wide)).astype(np.int32)
        summand = make.tensor(bias.shape, bias_type, scale * wide, data=added)
        given = make.tensor((1, outputs), integer, 0.125)
        version = 4
    else:
        real = schema.TensorType.FLOAT32
        taken = make.tensor(input_shape, real)
        factor = make.tensor(weights.shape, real, data=weights)
        summand = make.tensor(bias.shape, real, data=bias)
        given = make.tensor((1, outputs), real)
        version = 1
    make.operator(
        fully, [taken, factor, summand], [given], kind.FullyConnectedOptions, options, version
    )
    if softmax:
        shares = make.tensor(
            (1, outputs),
            schema.TensorType.INT8 if int8 else schema.TensorType.FLOAT32,
            1 / 256 if int8 else None,
            -128,
        )
        steep = schema.SoftmaxOptionsT()
        steep.beta = 1.0
        make.operator(
            schema.BuiltinOperator.SOFTMAX,
            [given],
            [shares],
            kind.SoftmaxOptions,
            steep,
            2 if int8 else 1,
        )
        given = shares
    return make.finish([taken], [given])


def _activation(make, size, dtype, scale=None, zero=0):
    types = {
        "int8": schema.TensorType.INT8,
        "uint8": schema.TensorType.UINT8,
        "float32": schema.TensorType.FLOAT32,
    }
    return make.tensor((1, size), types[dtype], scale, zero)


def dequantising_model(size, dtype, scale, zero):
    """TFLite model whose output shows, as float32, which integers its input was given."""
    make = _Builder()
    taken, given = _activation(make, size, dtype, scale, zero), _activation(make, size, "float32")
    make.operator(
        schema.BuiltinOperator.DEQUANTIZE,
        [taken],
        [given],
        schema.BuiltinOptions.DequantizeOptions,
        schema.DequantizeOptionsT(),
        2,
    )
    return make.finish([taken], [given])


def quantising_model(size, dtype, scale, zero):
    """TFLite model that gives its float32 input back as integers."""
    make = _Builder()
    taken, given = _activation(make, size, "float32"), _activation(make, size, dtype, scale, zero)
    make.operator(
        schema.BuiltinOperator.QUANTIZE,
        [taken],
        [given],
        schema.BuiltinOptions.QuantizeOptions,
        schema.QuantizeOptionsT(),
    )
    return make.finish([taken], [given])


def adding_model(size, inputs, outputs):
    """TFLite model of one addition whose first tensors are declared its inputs and outputs."""
    make = _Builder()
    added = [_activation(make, size, "float32") for _ in range(2)]
    total = _activation(make, size, "float32")
    make.operator(
        schema.BuiltinOperator.ADD,
        [added[0], added[inputs - 1]],
        [total],
        schema.BuiltinOptions.AddOptions,
        schema.AddOptionsT(),
    )
    return make.finish(added[:inputs], [total, added[0]][:outputs])


def failing_model(size):
    """TFLite model that loads and then fails: it gathers what lies outside its input."""
    make = _Builder()
    taken, given = _activation(make, size, "float32"), _activation(make, 1, "float32")
    outside = np.array([size], np.int32)
    index = make.tensor((1,), schema.TensorType.INT32, data=outside)
    options = schema.GatherOptionsT()
    options.axis = 1
    make.operator(
        schema.BuiltinOperator.GATHER,
        [taken, index],
        [given],
        schema.BuiltinOptions.GatherOptions,
        options,
    )
    return make.finish([taken], [given])


def endless_model(input_shape, outputs):
    """TFLite model that loads and then never answers: it loops while true is true."""
    make = _Builder()
    real, kind = schema.TensorType.FLOAT32, schema.BuiltinOptions
    taken = make.tensor(input_shape, real)
    weights = np.zeros((outputs, int(np.prod(input_shape))), np.float32)
    factor = make.tensor(weights.shape, real, data=weights)
    summand = make.tensor((outputs,), real, data=np.zeros(outputs, np.float32))
    begun, given = (make.tensor((1, outputs), real) for _ in range(2))
    fully, options = schema.BuiltinOperator.FULLY_CONNECTED, schema.FullyConnectedOptionsT()
    make.operator(fully, [taken, factor, summand], [begun], kind.FullyConnectedOptions, options)
    loop = schema.WhileOptionsT()
    loop.condSubgraphIndex, loop.bodySubgraphIndex = 1, 2
    make.operator(schema.BuiltinOperator.WHILE, [begun], [given], kind.WhileOptions, loop)
    make.ends([taken], [given])
    make.subgraph()
    carried = make.tensor((1, outputs), real)
    always = make.tensor((1,), schema.TensorType.BOOL, data=np.array([True]))
    make.ends([carried], [always])
    make.subgraph()
    before, after = (make.tensor((1, outputs), real) for _ in range(2))
    add = schema.AddOptionsT()
    make.operator(schema.BuiltinOperator.ADD, [before, before], [after], kind.AddOptions, add)
    return make.finish([before], [after])


def tone(hertz, rate=16000, seconds=1.0, level=0.5):
    """int16 ``[n]``."""
    moment = np.arange(round(rate * seconds)) / rate
    return np.rint(level * 32767 * np.sin(2 * np.pi * hertz * moment)).astype(np.int16)


EXAMPLES = {"high": tone(3000), "low": tone(300), "silence": np.zeros(16000, np.int16)}


def wav(audio, rate=16000):
    """Bytes of a 16-bit PCM WAV of ``[n]`` or ``[n, channels]`` int16."""
    audio = np.asarray(audio, np.int16)
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1 if audio.ndim == 1 else audio.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(audio.astype("<i2").tobytes())
    return made.getvalue()


def keyword_parts(int8=False, compression="zlib"):
    """Manifest and model file of a model that tells high tones, low tones and silence apart."""
    front_end = FrontEnd(FEATURES)
    features = np.stack([front_end(clip * np.float32(2**-15)) for clip in EXAMPLES.values()])
    rows = features.reshape(-1, features.shape[-1])
    # One deviation for all: bins that hardly move would else decide by their noise.
    width = features.shape[-1]
    standardisation = Standardisation(tuple(map(float, rows.mean(0))), (float(rows.std()),) * width)
    # Nearest of the three examples, as a linear map: 2 c.x - |c|^2 for each, scaled down.
    centres = standardisation(features).reshape(len(LABELS), -1)
    weights, bias = 2 * centres / 100, -np.square(centres).sum(1) / 100
    model = linear_model(weights, bias, (1, *FEATURES.shape, 1), softmax=True, int8=int8)
    entry, packed = pack_model(model, compression)
    manifest = Manifest(
        name="tones",
        version="7",
        task="keyword_spotting",
        input=AudioInput(16000, 16000, FEATURES, standardisation),
        output=LabelOutput(LABELS),
        quantization=Interpreter(model, standardisation).quantization,
        deferral=DEFERRAL,
        budgets=(Budget("accuracy", ">", 90.0, 100.0, "%"), Budget("bytes", "<", 25000, 900, "B")),
        model=entry,
        golden=(),
        created_by=ORIGIN,
        fast=FastMode(FAST, 0.3),
    )
    return with_golden(manifest, packed), packed


def forecast_parts():
    """Manifest and model file of a forecaster that repeats the last record."""
    standardisation = Standardisation((10.0, 60.0), (8.0, 15.0))
    inputs, outputs = 2 * WINDOW.input_steps, 2 * WINDOW.output_steps
    weights, bias = np.zeros((outputs, inputs)), np.zeros(outputs)
    for step in range(WINDOW.output_steps):
        for quantity in range(2):
            weights[2 * step + quantity, inputs - 2 + quantity] = standardisation.std[quantity]
            bias[2 * step + quantity] = standardisation.mean[quantity]
    model = linear_model(weights, bias, (1, inputs))
    entry, packed = pack_model(model, "none")
    manifest = Manifest(
        name="repeats",
        version="1",
        task="forecasting",
        input=RecordInput(WINDOW, standardisation),
        output=ForecastOutput(("T", "RH"), WINDOW.output_steps),
        quantization=Interpreter(model, standardisation).quantization,
        deferral=None,
        budgets=(Budget("mae.T", "<", 0.5, 0.3, "Cel"),),
        model=entry,
        golden=(),
        created_by=ORIGIN,
    )
    return with_golden(manifest, packed), packed


def with_golden(manifest, packed):
    """The manifest with golden inputs and what the model makes of them here."""
    bundle = read_bundle(bundle_bytes(manifest, packed, "tiny"))
    if manifest.task == "keyword_spotting":
        predict = AudioPredictor(bundle)
        made = [(clip.astype("<i2"), predict(clip, 16000).scores) for clip in EXAMPLES.values()]
    else:
        rows = np.array([[1, 50], [2, 51], [3, 52]], "<f4")
        made = [(rows, RecordPredictor(bundle)(rows).values)]
    golden = tuple(Golden(i.tobytes(), tuple(map(float, o.reshape(-1)))) for i, o in made)
    return replace(manifest, golden=golden)


def jena_csv(rows, header=("Date Time", "p (mbar)", "T (degC)", "rh (%)")):
    """Text of a CSV in the Jena layout; ``rows`` are (time stamp, T, RH)."""
    lines = [",".join(f'"{title}"' for title in header)]
    lines += [f"{time},990.1,{t},{rh}" for time, t, rh in rows]
    return "\n".join(lines) + "\n"
