"""FLAC: a clip in a third of its bytes, and the same clip bit by bit afterwards."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_client.errors import EdgeError

Int16 = npt.NDArray[np.int16]


class FlacError(EdgeError):
    """Bytes that are no FLAC of 16-bit mono, or audio that FLAC cannot hold."""


def encode_flac(audio: Int16, rate: int) -> bytes:
    """FLAC of ``[samples]`` int16 at ``rate`` Hz.

    Raises:
        FlacError: a sampling rate that FLAC does not know.
        EdgeError: soundfile is not installed.
    """
    soundfile = _soundfile()
    file = io.BytesIO()
    try:
        soundfile.write(file, audio, rate, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        reason = error.error_string
        raise FlacError(f"audio at {rate} Hz cannot be written as FLAC: {reason}") from None
    return file.getvalue()


def decode_flac(data: bytes, most: int) -> tuple[Int16, int]:
    """At most ``most + 1`` samples, however many the header promises, and the rate in Hz.

    Raises:
        FlacError: anything but FLAC of 16-bit mono.
        EdgeError: soundfile is not installed.
    """
    soundfile = _soundfile()
    if not data.startswith(b"fLaC"):  # libsndfile would try two dozen other formats
        raise FlacError("not FLAC")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if (file.subtype, file.channels) != ("PCM_16", 1):
                raise FlacError(
                    f"{file.channels} channel(s) of {file.subtype}; FLAC of 16-bit mono is wanted"
                )
            return file.read(most + 1, dtype="int16"), file.samplerate
    except soundfile.LibsndfileError as error:
        raise FlacError(f"damaged FLAC: {error.error_string}") from None


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the library it wraps is missing
        raise EdgeError('FLAC needs soundfile: pip install "ml4iot-edge[flac]"') from None
    return soundfile
