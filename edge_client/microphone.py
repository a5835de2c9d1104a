"""Sound from a microphone, cut into clips where it is loud enough to be speech."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from edge_client.audio import Int16
from edge_client.errors import EdgeError

BLOCKS = 20  # of one second
DEFAULT_GATE = 0.01  # RMS of full scale; quiet rooms stay below
_PRE_ROLL = 4  # blocks before the loud one: words begin softly
_BUFFERED_S = 10  # of sound that may wait to be heard; what comes then is lost, and counted
_TICK_S = 0.05
_PATIENCE_S = 5.0  # for a stream that gives nothing: a microphone that was pulled out says no more


class MicrophoneError(EdgeError):
    """No microphone, or nothing to hear it with."""


def clips(blocks: Iterable[Int16 | None], samples: int, gate: float) -> Iterator[Int16 | None]:
    """Clips that begin shortly before sound rises above the gate.

    Args:
        blocks: consecutive sound, int16, each of the same length; None where none came in time.
        samples: of one clip.
        gate: RMS of a block, as a share of full scale, from which on it is no silence.

    Yields:
        For every block the ``[samples]`` int16 of a clip that it completes, none overlapping;
        None where it completes none.
    """
    before: deque[Int16] = deque(maxlen=_PRE_ROLL)
    clip: list[Int16] = []
    for block in blocks:
        whole = None
        if block is not None and (clip or rms(block) >= gate):
            clip += [*before, block]
            before.clear()
            if sum(map(len, clip)) >= samples:
                whole = np.concatenate(clip)[:samples]
                clip = []
        elif block is not None:
            before.append(block)
        yield whole


def rms(block: Int16) -> float:
    """Root mean square as a share of full scale, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(block, dtype=np.float64)))) / 2**15


class Microphone:
    """Blocks of 50 ms from a sound device, as a context manager."""

    def __init__(self, rate: int, device: str | None = None) -> None:
        """Opens the device and begins to listen.

        Args:
            rate: in Hz.
            device: its number or a part of its name; the system's default when left out.

        Raises:
            MicrophoneError: sounddevice or PortAudio is missing, or the device cannot be opened.
        """
        sound = _sounddevice()
        self.lost = 0
        self._blocks: queue.Queue[bytes] = queue.Queue(_BUFFERED_S * BLOCKS)
        chosen = int(device) if device is not None and device.isdecimal() else device
        try:
            self._stream = sound.RawInputStream(
                samplerate=rate,
                blocksize=rate // BLOCKS,
                device=chosen,
                channels=1,
                dtype="int16",
                callback=self._heard,
            )
            self._stream.start()
        except (sound.PortAudioError, ValueError) as error:
            raise MicrophoneError(
                f"microphone: cannot be opened at {rate} Hz ({error}); "
                "python -m sounddevice lists the devices"
            ) from None

    def __enter__(self) -> Microphone:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def blocks(self) -> Iterator[Int16 | None]:
        """Sound without end; None whenever nothing came for a twentieth of a second.

        Raises:
            MicrophoneError: nothing came for some seconds.
        """
        ticks = 0
        while ticks * _TICK_S < _PATIENCE_S:
            try:
                block = self._blocks.get(timeout=_TICK_S)
            except queue.Empty:
                ticks += 1
                yield None
            else:
                ticks = 0
                yield np.frombuffer(block, np.int16)
        raise MicrophoneError(
            f"microphone: no sound for {_PATIENCE_S:g} seconds; see that it is still plugged in"
        )

    def _heard(self, sound: Any, frames: int, time: Any, status: Any) -> None:
        """Called by PortAudio in a thread of its own, which must not wait."""
        # PortAudio's own buffer ran over.
        self.lost += bool(status.input_overflow)
        try:
            self._blocks.put_nowait(bytes(sound))
        except queue.Full:
            self.lost += 1


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise MicrophoneError(
            'microphone: sounddevice is not installed; pip install "ml4iot-edge[microphone]"'
        ) from None
    except OSError:
        raise MicrophoneError(
            "microphone: the PortAudio library is not installed; apt install libportaudio2"
        ) from None
    return sounddevice
