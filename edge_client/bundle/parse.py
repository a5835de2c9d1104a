"""Reads a manifest that may come from anywhere, and refuses what it does not understand."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

import numpy as np

from edge_client.bundle.errors import (
    BundleFormatError,
    BundleManifestError,
    BundleTooLargeError,
)
from edge_client.bundle.manifest import (
    FORMAT,
    MAX_MODEL_BYTES,
    MODEL_FILES,
    AudioInput,
    Budget,
    Deferral,
    FastMode,
    ForecastOutput,
    Golden,
    LabelOutput,
    Learned,
    Manifest,
    ModelFile,
    Origin,
    Quantization,
    RecordInput,
    TensorQuantization,
)
from edge_client.deferral.policies import LEARNED_FEATURES, POLICIES
from edge_client.features.spec import AudioFeatures, RecordWindow, SpecError, Standardisation
from edge_client.fields import FieldError, Fields, strict_json

TASKS = ("keyword_spotting", "forecasting")
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_LABELS = 1000
MAX_GOLDEN = 16
MAX_BUDGETS = 100
MAX_SAMPLES = 16 * 48_000  # of one clip
MAX_RATE = 384_000  # Hz
MAX_FRAME = 16_384  # samples of one frame
MAX_FRAMES = 4096  # of one clip
MAX_FRAMED = 2**22  # samples in all frames of one clip
MAX_BINS = 512  # of the mel filters
MAX_RESIZED = 1024  # frames or bins after resizing
MAX_WINDOW = 2**20  # numbers in one window

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_manifest(data: bytes, name: str) -> Manifest:
    """Reads ``manifest.json``.

    Args:
        data: the file's bytes.
        name: what error messages call the bundle.

    Raises:
        BundleFormatError: of a format this client does not know.
        BundleManifestError: a field unknown, missing, of the wrong type or impossible.
        BundleTooLargeError: larger than 4 MiB.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleTooLargeError(f"{name}: its manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        values = strict_json(data)
    except (ValueError, RecursionError) as error:
        raise BundleManifestError(f"{name}: its manifest is no JSON ({error})") from None
    version = values.get("format") if isinstance(values, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise BundleFormatError(
            f"{name}: bundle format {version}; this client reads format {FORMAT}: "
            + ("update ml4iot-edge" if version > FORMAT else "push the model again")
        )
    try:
        with Fields(values, "manifest") as fields:
            fields.whole("format", FORMAT, FORMAT)
            return _manifest(fields)
    except (FieldError, SpecError, OverflowError) as error:  # numbers of hundreds of digits
        raise BundleManifestError(f"{name}: {error}") from None


def _manifest(fields: Fields) -> Manifest:
    task = fields.choice("task", TASKS)
    with fields.mapping("input") as part:
        taken = _audio_input(part) if task == "keyword_spotting" else _record_input(part)
    with fields.mapping("output") as part:
        given = _label_output(part) if task == "keyword_spotting" else _forecast_output(part)
    with fields.mapping("quantization") as part:
        quantization = Quantization(_tensor(part, "input"), _tensor(part, "output"))
    if isinstance(taken, RecordInput) and isinstance(given, ForecastOutput):
        promised = tuple(q.name for q in taken.window.quantities), taken.window.output_steps
        if promised != (given.quantities, given.steps):
            raise FieldError("output: other quantities or steps than input.window names")
    return Manifest(
        name=fields.text("name", _NAME),
        version=fields.text("version", _NAME),
        task=task,
        input=taken,
        output=given,
        quantization=quantization,
        deferral=_deferral(fields, given),
        budgets=tuple(map(_budget, fields.mappings("budgets", MAX_BUDGETS))),
        model=_model_file(fields),
        golden=tuple(_golden(g, taken, given) for g in fields.mappings("golden", MAX_GOLDEN)),
        created_by=_origin(fields),
        fast=_fast(fields, taken),
    )


def _audio_input(part: Fields) -> AudioInput:
    part.choice("kind", ("audio",))
    rate = part.whole("sample_rate", 1000, MAX_RATE)
    samples = part.whole("samples", 1, MAX_SAMPLES)
    features = audio_features(part, samples, rate)
    return AudioInput(rate, samples, features, standardisation(part, features.shape[1]))


def audio_features(part: Fields, samples: int, rate: int) -> AudioFeatures:
    """The field ``features``: a front end for clips of ``samples`` at ``rate`` Hz.

    Raises:
        FieldError: for clips of another length, or too large to be computed on a device.
        SpecError: not a front end at all.
    """
    features = AudioFeatures.from_json(part.plain("features"))
    # Bounds before anything is computed: matrices and memory grow with each of these.
    cut = 1 + (features.samples - features.frame_length) // features.frame_step
    if (
        features.sample_rate > MAX_RATE
        or features.samples > MAX_SAMPLES
        or features.frame_length > MAX_FRAME
        or cut > MAX_FRAMES
        or cut * features.frame_length > MAX_FRAMED
        or features.mel_bins > MAX_BINS
        or max(features.resize or (0,)) > MAX_RESIZED
    ):
        raise FieldError(f"{part.where}.features: too large for a device")
    if features.samples != -(-samples * features.sample_rate // rate):  # as resampling rounds, up
        raise FieldError(f"{part.where}.samples: {samples} at {rate} Hz are not the features' clip")
    return features


def _record_input(part: Fields) -> RecordInput:
    part.choice("kind", ("records",))
    window = RecordWindow.from_json(part.plain("window"))
    longest = max(window.input_steps, window.output_steps)
    if longest * len(window.quantities) > MAX_WINDOW:
        raise FieldError(f"{part.where}.window: too large for a device")
    for quantity in window.quantities:
        if not all(isinstance(t, str) for t in (quantity.name, quantity.column, quantity.unit)):
            raise FieldError(f"{part.where}.window.quantities: name, column and unit are strings")
    return RecordInput(window, standardisation(part, len(window.quantities)))


def standardisation(part: Fields, width: int) -> Standardisation:
    """The field ``standardisation``; raises :class:`FieldError` unless it is for ``width`` bins."""
    read = Standardisation.from_json(part.plain("standardisation"))
    if len(read.mean) != width:
        raise FieldError(
            f"{part.where}.standardisation: {len(read.mean)} values where {width} are wanted"
        )
    return read


def _label_output(part: Fields) -> LabelOutput:
    part.choice("kind", ("labels",))
    return LabelOutput(part.texts("labels", 2, MAX_LABELS))


def _forecast_output(part: Fields) -> ForecastOutput:
    part.choice("kind", ("forecast",))
    return ForecastOutput(
        part.texts("quantities", 1, MAX_LABELS), part.whole("steps", 1, MAX_WINDOW)
    )


def _tensor(part: Fields, name: str) -> TensorQuantization | None:
    if part.absent(name):
        return None
    with part.mapping(name) as tensor:
        return TensorQuantization(
            dtype=tensor.choice("dtype", ("int8", "uint8")),
            scale=tensor.number("scale", above=0),
            zero_point=tensor.whole("zero_point", -128, 255),
        )


def _deferral(fields: Fields, given: LabelOutput | ForecastOutput) -> Deferral | None:
    if fields.absent("deferral"):
        return None
    if not isinstance(given, LabelOutput):
        raise FieldError(f"{fields.where}.deferral: only a model of labels asks another")
    with fields.mapping("deferral") as part:
        learned = _learned(part, LEARNED_FEATURES * len(given.labels))
        with part.mapping("thresholds") as each:
            thresholds = {p: each.number(p) for p in POLICIES if not each.missing(p)}
        policy = part.choice("policy", tuple(thresholds))
        if "learned" in thresholds and learned is None:
            raise FieldError(f"{part.where}.learned: a threshold without weights")
        with part.mapping("validation") as validation:
            accuracy, share = validation.number("accuracy"), validation.number("share")
        return Deferral(
            temperature=part.number("temperature", above=0),
            learned=learned,
            fusion=part.number("fusion", least=0),
            policy=policy,
            thresholds=thresholds,
            target=part.text("target"),
            validation_accuracy=accuracy,
            validation_share=share,
        )


def _learned(part: Fields, count: int) -> Learned | None:
    if part.absent("learned"):
        return None
    with part.mapping("learned") as learned:
        weights = learned.numbers("weights")
        if len(weights) != count:
            raise FieldError(f"{learned.where}.weights: {len(weights)} where {count} are wanted")
        return Learned(weights, learned.number("bias"))


def _fast(fields: Fields, taken: AudioInput | RecordInput) -> FastMode | None:
    if fields.missing("fast") or fields.absent("fast"):
        return None
    with fields.mapping("fast") as part:
        if not isinstance(taken, AudioInput):
            raise FieldError(f"{part.where}: only a model of recordings has a front end")
        features = audio_features(part, taken.samples, taken.sample_rate)
        if features.shape != taken.features.shape:
            raise FieldError(
                f"{part.where}.features: {features.shape} frames and bins where the model takes "
                f"{taken.features.shape}"
            )
        return FastMode(features, part.number("threshold"))


def _budget(part: Fields) -> Budget:
    with part:
        return Budget(
            metric=part.text("metric"),
            comparison="<" if part.choice("comparison", ("<", ">")) == "<" else ">",
            required=part.number("required"),
            measured=part.number("measured"),
            unit=part.text("unit", shortest=0),
        )


def _model_file(fields: Fields) -> ModelFile:
    with fields.mapping("model") as part:
        packed = part.choice("compression", tuple(MODEL_FILES)) == "zlib"
        compression: Literal["none", "zlib"] = "zlib" if packed else "none"
        return ModelFile(
            file=part.choice("file", (MODEL_FILES[compression],)),
            compression=compression,
            bytes=part.whole("bytes", 1, MAX_MODEL_BYTES),
            sha256=part.text("sha256", _SHA256),
            raw_bytes=part.whole("raw_bytes", 1, MAX_MODEL_BYTES),
            raw_sha256=part.text("raw_sha256", _SHA256),
        )


def _golden(
    part: Fields, taken: AudioInput | RecordInput, given: LabelOutput | ForecastOutput
) -> Golden:
    with part:
        try:
            raw = base64.b64decode(part.text("input", longest=MAX_MANIFEST_BYTES), validate=True)
        except binascii.Error:
            raise FieldError(f"{part.where}.input: no base64") from None
        output = part.numbers("output")
        if isinstance(taken, AudioInput):
            size = 2 * taken.samples
        else:
            size = 4 * taken.window.input_steps * len(taken.window.quantities)
            if len(raw) == size and not np.isfinite(np.frombuffer(raw, "<f4")).all():
                raise FieldError(f"{part.where}.input: a value is missing in it")
        if isinstance(given, LabelOutput):
            count = len(given.labels)
        else:
            count = given.steps * len(given.quantities)
        if len(raw) != size or len(output) != count:
            raise FieldError(
                f"{part.where}: {len(raw)} bytes in and {len(output)} numbers out where "
                f"{size} and {count} are wanted"
            )
        return Golden(raw, output)


def _origin(fields: Fields) -> Origin:
    with fields.mapping("created_by") as part:
        return Origin(part.text("pipeline"), part.text("run_id"), part.text("recipe"))
