"""What a device sends to Big: one clip, or Big's own features of it, as a SenML pack.

A payload is named ``<coding>-<form>``.  One record carries the data; the end of its name says what
the bytes are (``audio``, ``audio.flac``, ``features.int8``).  Beside it may stand ``rate`` (the
sampling rate in Hz) and ``specification`` (the hash of the description the features follow).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_client.audio import Float32, Int16, WavError, check_rate, read_wav, to_float, to_pcm
from edge_client.errors import EdgeError
from edge_client.flac import FlacError, decode_flac, encode_flac
from edge_client.senml import CONTENT_TYPES, Form, Pack, Record, write

Int8 = npt.NDArray[np.int8]

PAYLOADS = (
    "pcm-json",
    "pcm-cbor",
    "pcm-draft",
    "flac-json",
    "flac-cbor",
    "features-json",
    "features-cbor",
)
DEFAULT_RATE = 16_000  # Hz, where no ``rate`` stands beside the audio
MAX_SAMPLES = 16 * 48_000  # sixteen seconds at the highest rate in common use
MAX_FEATURES = 4 * 2**20  # bytes unzipped

_AUDIO, _FLAC, _FEATURES = "audio", "audio.flac", "features.int8"
_RATE, _SPECIFICATION = "rate", "specification"
_HASH = re.compile(r"[0-9a-f]{16}")
_DTYPES = {"int16": "<i2", "i16": "<i2", "float32": "<f4", "f32": "<f4"}
# Overshoot of a resampled clip is fine; whole numbers turned into floats are not audio in [-1, 1).
_LOUDEST = 2.0


class PayloadError(EdgeError):
    """A pack that carries no clip Big could take, or a clip that no payload can carry."""


@dataclass(frozen=True)
class Recording:
    """One clip.

    Attributes:
        audio: ``[samples]`` int16, or float32 in [-1, 1).
        rate: sampling rate in Hz.
        time: Unix seconds, 0.0 where unknown.
        source: SenML base name of the sender, best one that ends in ``/`` or ``:``.
    """

    audio: Int16 | Float32
    rate: int = DEFAULT_RATE
    time: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class QuantisedFeatures:
    """Big's features of one clip, computed by the sender.

    Attributes:
        data: ``frames * bins`` int8, in steps of the description's ``step``, row by row.
        specification: hash of the description they follow, 16 hexadecimal digits.
        time: Unix seconds, 0.0 where unknown.
        source: SenML base name of the sender.
    """

    data: bytes
    specification: str
    time: float = 0.0
    source: str = ""


Content = Recording | QuantisedFeatures


def content_type(payload: str) -> str:
    """The media type of a request with this payload."""
    return CONTENT_TYPES[_form(payload, ("pcm", "flac", "features"))]


def encode_recording(recording: Recording, payload: str) -> bytes:
    """The body of a request that carries audio, as ``pcm-…`` or ``flac-…``.

    FLAC is lossless for int16; float32 is rounded to int16 for it.

    Raises:
        PayloadError: another payload, no audio or too much of it, or samples that are no numbers.
        EdgeError: FLAC without soundfile; a source or time that SenML cannot carry.
    """
    form = _form(payload, ("pcm", "flac"))
    audio = recording.audio
    if audio.ndim != 1 or audio.dtype not in (np.int16, np.float32):
        raise PayloadError(f"audio of {audio.dtype}{list(audio.shape)}: mono int16 or float32 only")
    _check_samples(audio)
    if payload.startswith("flac"):
        # int16 comes through both conversions bit by bit.
        pcm = to_pcm(to_float(audio))
        name, unit, data = _FLAC, "", encode_flac(pcm, recording.rate)
    else:
        name, unit = _AUDIO, str(audio.dtype)
        data = audio.astype(_DTYPES[unit], copy=False).tobytes()
    records = [Record(recording.source + name, recording.time, unit, data)]
    if recording.rate != DEFAULT_RATE:
        rate = float(recording.rate)
        records.append(Record(recording.source + _RATE, recording.time, "Hz", rate))
    return write(records, form, recording.source)


def quantise(standardised: Float32, step: float) -> Int8:
    """Features in whole steps, to the nearest even one in the middle, saturating.

    Args:
        standardised: any shape, float32.
        step: what one step stands for.
    """
    return np.clip(np.rint(standardised / np.float32(step)), -128, 127).astype(np.int8)


def encode_features(
    standardised: Float32,
    step: float,
    specification: str,
    payload: str,
    source: str = "",
    time: float = 0.0,
) -> bytes:
    """The body of a request that carries Big's own features, as ``features-…``.

    Args:
        standardised: ``[frames, bins]`` float32.
        step: what one of the int8's steps stands for.
        specification: hash of Big's description, 16 hexadecimal digits.
        payload: ``features-json`` or ``features-cbor``.
        source: SenML base name of the sender.
        time: Unix seconds, 0.0 for none.

    Raises:
        PayloadError: another payload, no hash, or features that are no numbers.
        SenmlError: a source or time that SenML cannot carry.
    """
    form = _form(payload, ("features",))
    if not standardised.size or not np.isfinite(standardised).all():
        raise PayloadError("features that are empty or not finite")
    data = zlib.compress(quantise(standardised, step).tobytes(), 9)
    records = [
        Record(source + _FEATURES, time, "", data),
        Record(source + _SPECIFICATION, time, "", _specification(specification)),
    ]
    return write(records, form, source)


def decode(pack: Pack, samples: int = 16_000) -> Content:
    """What a pack carries for Big.

    Args:
        pack: of any form; that of a draft client may give its one piece of data any name.
        samples: length of Big's clip, which tells int16 from float32 where no unit does.

    Raises:
        PayloadError: no data or more than one piece of it, of unknown kind, empty, cut short, too
            long, with samples that are no numbers, or features without their specification.
    """
    data = [record for record in pack.records if isinstance(record.value, bytes)]
    if len(data) != 1:
        raise PayloadError(f"{len(data)} records with data (vd) where one clip is wanted")
    (record,) = data
    assert isinstance(record.value, bytes)
    kind, source = _kind(record.name, pack.form)
    beside = {other.name: other for other in pack.records if other is not record}
    if kind == _FEATURES:
        hash_record = beside.get(source + _SPECIFICATION)
        if hash_record is None:
            raise PayloadError(
                f"{record.name}: no record 'specification' says which features these are"
            )
        unzipped = _unzip(record.value)
        specification = _specification(hash_record.value)
        return QuantisedFeatures(unzipped, specification, record.time, source)
    rate = _rate(beside.get(source + _RATE))
    audio: Int16 | Float32
    try:
        if kind == _FLAC:
            audio, own_rate = decode_flac(record.value, MAX_SAMPLES)
        elif record.value[:4] == b"RIFF" and record.value[8:12] == b"WAVE":
            audio, own_rate = _decode_wav(record.value, record.name)
        else:
            audio, own_rate = _decode_pcm(record.value, record.unit, samples), rate or DEFAULT_RATE
    except FlacError as error:
        raise PayloadError(f"{record.name}: {error}") from None
    except WavError as error:
        raise PayloadError(str(error)) from None
    check_rate(own_rate, record.name, PayloadError)
    if own_rate != (rate or own_rate):
        raise PayloadError(f"{record.name}: says {own_rate} Hz, the record beside it {rate} Hz")
    _check_samples(audio)
    return Recording(audio, own_rate, record.time, source)


def _form(payload: str, codings: tuple[str, ...]) -> Form:
    coding, _, form = payload.partition("-")
    if payload not in PAYLOADS or coding not in codings:
        choices = ", ".join(name for name in PAYLOADS if name.partition("-")[0] in codings)
        raise PayloadError(f"payload {payload[:40]!r} where one of {choices} is wanted")
    return Form(form)


def _kind(name: str, form: Form) -> tuple[str, str]:
    """What the data of this name is, and the base name before it."""
    for kind in (_AUDIO, _FLAC, _FEATURES):
        if name.endswith(kind):
            return kind, name[: -len(kind)]
    if form is Form.DRAFT:
        return _AUDIO, name[: max(name.rfind("/"), name.rfind(":")) + 1]
    raise PayloadError(
        f"{name}: data of unknown kind; {_AUDIO}, {_FLAC} and {_FEATURES} are understood"
    )


def _rate(record: Record | None) -> int | None:
    if record is None:
        return None
    rate = record.value
    if isinstance(rate, bool) or not isinstance(rate, float) or not rate.is_integer():
        raise PayloadError(f"{record.name}: a whole number of Hz is wanted")
    check_rate(int(rate), record.name, PayloadError)
    return int(rate)


def _specification(value: object) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise PayloadError("the specification of features is a hash of 16 hexadecimal digits")
    return value


def _check_samples(audio: Int16 | Float32) -> None:
    if not 0 < len(audio) <= MAX_SAMPLES:
        raise PayloadError(f"audio of {len(audio)} samples where 1 to {MAX_SAMPLES} are taken")
    if audio.dtype == np.float32:
        loudest = np.abs(audio).max()  # NaN where any sample is
        if not loudest <= _LOUDEST:
            raise PayloadError(
                f"float32 audio that reaches {loudest:g}; [-1, 1) is wanted (int16 audio needs "
                "the unit int16 where it has another length than Big's clip)"
            )


def _decode_pcm(data: bytes, unit: str, samples: int) -> Int16 | Float32:
    layouts = {2 * samples: "int16", 4 * samples: "float32"}
    kind = unit if unit in _DTYPES else layouts.get(len(data))
    if not data:
        raise PayloadError("audio of 0 samples")
    if kind is None:
        raise PayloadError(
            f"audio of {len(data)} bytes is no clip of {samples} samples; other lengths need the "
            "unit int16 or float32"
        )
    dtype = np.dtype(_DTYPES[kind])
    if len(data) % dtype.itemsize:
        raise PayloadError(f"audio of {len(data)} bytes: not whole samples of {kind}")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)


def _decode_wav(data: bytes, name: str) -> tuple[Int16 | Float32, int]:
    audio, rate = read_wav(data, name)
    if audio.shape[1] == 1:
        return audio[:, 0], rate
    return to_float(audio).mean(axis=1, dtype=np.float32), rate


def _unzip(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        unzipped = unpacker.decompress(data, MAX_FEATURES + 1)
    except zlib.error:
        raise PayloadError("features.int8: not zlib data") from None
    if len(unzipped) > MAX_FEATURES:
        raise PayloadError(f"features.int8: more than {MAX_FEATURES // 2**20} MiB unzipped")
    if not unpacker.eof or unpacker.unused_data:
        raise PayloadError("features.int8: zlib data cut short or with bytes after it")
    if not unzipped:
        raise PayloadError("features.int8: no features in it")
    return unzipped
