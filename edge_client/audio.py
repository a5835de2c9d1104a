"""Recordings: 16-bit PCM WAV files read, and brought to one mono clip of the model's length.

Ingestion and device share these functions, so a model hears on the device what it was trained on.
"""

from __future__ import annotations

import struct
from math import gcd
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_client.errors import EdgeError
from edge_client.features.resample import resample
from edge_client.files import check_size, read_input

Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

MAX_WAV_BYTES = 64 * 2**20  # six minutes of stereo at 44.1 kHz
MAX_CHANNELS = 64
RATES = (1000, 384_000)  # Hz, lowest and highest
# The longer side of a rate's ratio to 16 kHz: the filter that resamples grows with it, to millions
# of taps for a rate that shares no factor. 44.1 kHz, the crookedest in common use, has 441 to 160.
_MAX_RATIO = 2000
_COMMON_RATE = 16_000
_MAX_CHUNKS = 1000

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
# The tail of the GUID that makes of a WAVE_FORMAT_EXTENSIBLE sub-format an ordinary format tag.
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


class WavError(EdgeError):
    """A recording that is not a readable 16-bit PCM WAV."""


def read_wav(source: Path | str | bytes, name: str | None = None) -> tuple[Int16, int]:
    """Reads a 16-bit PCM WAV of any sampling rate and any number of channels.

    Args:
        source: a path, or the bytes of the file.
        name: what error messages call it; the path when left out.

    Returns:
        ``[samples, channels]`` int16 and the sampling rate in Hz.

    Raises:
        WavError: not a WAV, truncated, empty, not 16-bit PCM, absurdly large, or of a rate that
            :func:`check_rate` refuses.
    """
    name = name or ("recording" if isinstance(source, bytes) else str(source))
    if isinstance(source, bytes):
        data = source
    else:
        data = read_input(Path(source), MAX_WAV_BYTES, name, WavError)
    check_size(len(data), MAX_WAV_BYTES, name, WavError)
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        what = "empty file" if not data else "not a WAV file"
        raise WavError(f"{name}: {what}; 16-bit PCM WAV is wanted")
    layout: tuple[int, int] | None = None
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        kind, size = struct.unpack_from("<4sI", data, position)
        body = position + 8
        if body + size > len(data):
            raise WavError(
                f"{name}: truncated: the chunk {_printable(kind)} says {size} bytes and "
                f"{len(data) - body} follow; copy the file again"
            )
        if kind == b"fmt ":
            layout = _layout(data[body : body + size], name)
        elif kind == b"data":
            if layout is None:
                raise WavError(f"{name}: damaged: audio before its format; copy the file again")
            return _samples(data, body, size, layout[0], name), layout[1]
        position = body + size + size % 2  # chunks start at even offsets
    raise WavError(f"{name}: no audio in it (no data chunk); copy the file again")


def check_rate(rate: int, name: str, error: type[EdgeError]) -> None:
    """Raises ``error`` for a sampling rate in Hz that is absurd, or too dear to resample."""
    if not RATES[0] <= rate <= RATES[1]:
        raise error(f"{name}: a sampling rate of {rate} Hz; {RATES[0]} to {RATES[1]} is taken")
    if max(rate, _COMMON_RATE) // gcd(rate, _COMMON_RATE) > _MAX_RATIO:
        raise error(
            f"{name}: a sampling rate of {rate} Hz, too crooked to resample; convert it to 16000 Hz"
        )


def fit_clip(audio: Int16 | Float32, rate: int, wanted: int, samples: int) -> Int16:
    """One mono clip of exactly ``samples`` samples at ``wanted`` Hz.

    Channels are averaged.  A longer recording is cut around its loudest stretch of the clip's
    length, a shorter one padded with zeros at the end.  Mono 16-bit audio of the wanted rate and
    length comes back bit by bit.

    Args:
        audio: ``[n]`` or ``[n, channels]``, int16 or float32 in [-1, 1).
        rate: its sampling rate in Hz.
        wanted: sampling rate of the clip in Hz.
        samples: length of the clip.

    Returns:
        ``[samples]`` int16.
    """
    if audio.ndim == 2 and audio.shape[1] == 1:
        audio = audio[:, 0]
    if audio.dtype == np.int16 and audio.shape == (samples,) and rate == wanted:
        return audio.astype(np.int16, copy=False)  # the commonest clip costs nothing
    mono = to_float(audio)
    if mono.ndim == 2:
        mono = mono.mean(axis=1, dtype=np.float32)
    # Cutting first keeps the cost of resampling that of one clip, however long the recording.
    mono = loudest(mono, max(1, round(samples * rate / wanted)))
    clip = to_pcm(resample(mono, rate, wanted)[:samples])
    return clip if len(clip) == samples else np.pad(clip, (0, samples - len(clip)))


def loudest(audio: Float32, samples: int) -> Float32:
    """The ``samples`` consecutive samples with most energy; shorter audio as it is."""
    if len(audio) <= samples:
        return audio
    energy = np.cumsum(np.square(audio, dtype=np.float64))
    sums = energy[samples - 1 :].copy()
    sums[1:] -= energy[:-samples]
    start = int(np.argmax(sums))
    return audio[start : start + samples]


def to_float(audio: Int16 | Float32) -> Float32:
    """int16 to float32 in [-1, 1), exactly; float32 as it is."""
    if audio.dtype == np.int16:
        return audio * np.float32(2**-15)
    return audio.astype(np.float32, copy=False)


def to_pcm(audio: Float32) -> Int16:
    """float32 to the nearest int16, saturating: the inverse of :func:`to_float`."""
    return np.clip(np.rint(audio * np.float32(2**15)), -(2**15), 2**15 - 1).astype(np.int16)


def _layout(fmt: bytes, name: str) -> tuple[int, int]:
    """Channels and sampling rate out of a format chunk."""
    if len(fmt) < 16:
        raise WavError(f"{name}: damaged: its format chunk has {len(fmt)} bytes, not 16 or more")
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", fmt)
    if tag == _EXTENSIBLE and len(fmt) >= 40 and fmt[26:40] == _GUID_TAIL:
        (tag,) = struct.unpack_from("<H", fmt, 24)
    if tag != _PCM or bits != 16:
        kind = {_PCM: "PCM", _FLOAT: "float"}.get(tag, f"format {tag:#06x}")
        raise WavError(f"{name}: {bits}-bit {kind}; convert it to 16-bit PCM")
    if not 1 <= channels <= MAX_CHANNELS or align != 2 * channels:
        raise WavError(f"{name}: damaged: {channels} channels in blocks of {align} bytes")
    check_rate(rate, name, WavError)
    return channels, rate


def _samples(data: bytes, start: int, size: int, channels: int, name: str) -> Int16:
    if size == 0:
        raise WavError(f"{name}: no audio in it (0 samples); record it again")
    if size % (2 * channels):
        raise WavError(
            f"{name}: truncated: {size} bytes are not whole samples of {channels} channel(s); "
            "copy the file again"
        )
    values = np.frombuffer(data, "<i2", size // 2, start)
    return values.astype(np.int16, copy=False).reshape(-1, channels)


def _printable(kind: bytes) -> str:
    return repr(kind.decode("ascii", "replace"))
