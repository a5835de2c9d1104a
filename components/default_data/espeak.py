"""Single words through the eSpeak NG library.

The library keeps its state in globals and carries it from one utterance to the next (phases of
the oscillators, its random numbers), so the same order of utterances in a fresh process gives
the same samples bit for bit, and nothing else does.  Hence :func:`speak_all` starts a process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

Int16 = npt.NDArray[np.int16]

RATE = 22050  # Hz, of all its voices

# Values of espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
_ERROR_OK = 0

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Utterance:
    """One text in one voice: ``rate`` in words a minute, ``pitch`` and ``range`` 0 to 99."""

    voice: str
    text: str
    rate: int
    pitch: int
    range: int


def library_version() -> str:
    """Version of the eSpeak NG library, such as ``1.52.0``."""
    info = _library().espeak_Info
    info.restype = ctypes.c_char_p
    return str(info(None).decode())


def variants() -> list[str]:
    """Names of the voice variants that come with the library."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return sorted(path.name for path in folder.iterdir())


def speak_all(batches: Sequence[Sequence[Utterance]], seed: int) -> Iterator[list[Int16]]:
    """The samples of every utterance, batch after batch.

    Args:
        batches: what to say, in the order in which it is said.
        seed: of the library's own random numbers.

    Yields:
        For each batch a list of int16 arrays ``[n]`` at ``RATE`` Hz.

    Raises:
        RuntimeError: the library refuses a voice or a text.
    """
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_start, initargs=(seed,)
    ) as process:
        yield from process.map(_speak_batch, batches)


class _Speaker:
    def __init__(self, seed: int) -> None:
        import espeakng_loader

        library = _library()
        rate = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS,
            0,
            str(espeakng_loader.get_data_path()).encode(),
            _INITIALIZE_DONT_EXIT,
        )
        if rate != RATE:
            raise RuntimeError(f"eSpeak NG starts with {rate} Hz instead of {RATE} Hz")
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        # Some voices draw from the library's generator, the Klatt voices from the C library's.
        library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        library.espeak_ng_SetRandSeed(seed)
        ctypes.CDLL(None).srand(ctypes.c_uint(seed))
        self._library = library
        self._chunks: list[bytes] = []
        self._callback = _CALLBACK(self._collect)  # kept, or the library would call freed memory
        library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def say(self, utterance: Utterance) -> Int16:
        self._chunks.clear()
        library = self._library
        if library.espeak_SetVoiceByName(utterance.voice.encode()) != _ERROR_OK:
            raise RuntimeError(f"eSpeak NG knows no voice {utterance.voice!r}")
        library.espeak_SetParameter(_PARAMETER_RATE, utterance.rate, 0)
        library.espeak_SetParameter(_PARAMETER_PITCH, utterance.pitch, 0)
        library.espeak_SetParameter(_PARAMETER_RANGE, utterance.range, 0)
        text = utterance.text.encode() + b"\0"
        status = library.espeak_Synth(
            text, len(text), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
        )
        library.espeak_Synchronize()
        samples = np.frombuffer(b"".join(self._chunks), np.int16)
        if status != _ERROR_OK or not samples.any():
            raise RuntimeError(f"eSpeak NG says nothing for {utterance}")
        return samples


def _library() -> ctypes.CDLL:
    import espeakng_loader

    return ctypes.CDLL(espeakng_loader.get_library_path())


_speaker: _Speaker  # of the process that speaks


def _start(seed: int) -> None:
    global _speaker
    _speaker = _Speaker(seed)


def _speak_batch(batch: Sequence[Utterance]) -> list[Int16]:
    return [_speaker.say(utterance) for utterance in batch]
