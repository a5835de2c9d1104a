"""Clips on which the big model overruled the small one, kept as a labelled set to train on.

Only where its owner asked for it, readable for nobody else, and never more than was allowed.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import socket
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_client.audio import Int16
from edge_client.errors import EdgeError

DEFAULT_BYTES = 64 * 2**20  # about 2,000 clips of a second
MAX_CLIPS = 10_000
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_OURS = re.compile(r".*_overruled_(\d{1,9})\.wav")
_SPEAKER = re.compile(r"[A-Za-z0-9-]{1,64}")


class Feedback:
    """A folder of ``<label>/<speaker>_overruled_<n>.wav``, 16-bit mono PCM.

    Once it is full, new clips are refused rather than old ones deleted: nothing that somebody may
    have looked at or corrected disappears behind their back.
    """

    def __init__(self, folder: Path, labels: Iterable[str], max_bytes: int = DEFAULT_BYTES) -> None:
        """Makes the folder, or goes on where an earlier run stopped.

        Args:
            folder: of mode 0700 from now on.
            labels: each of which may become a folder inside.
            max_bytes: of all clips in it, earlier ones included.

        Raises:
            EdgeError: it cannot be made, or a label is no name of a folder.
        """
        for label in labels:
            if not label or Path(label).name != label or label.startswith("."):
                raise EdgeError(f"label {label!r} is no name of a folder; clips cannot be kept")
        self._folder, self._max_bytes = folder, max_bytes
        self.kept = self.refused = 0
        try:
            folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            folder.chmod(_PRIVATE_FOLDER)
            with self._alone():
                self._there()
        except OSError as error:
            raise EdgeError(f"{folder}: clips cannot be kept here: {error.strerror}") from None

    def keep(self, audio: Int16, rate: int, label: str, speaker: str | None) -> Path | None:
        """Keeps a clip.

        Args:
            audio: ``[samples]``.
            rate: in Hz.
            label: what the big model made of it.
            speaker: who is heard; where that is unknown, this host stands for its people.

        Returns:
            The file, or None when the folder is full or the disk refuses: counted, but no reason
            to stop answering.
        """
        data = _wav(audio, rate)
        if speaker is None or not _SPEAKER.fullmatch(speaker):
            speaker = host_name()
        path = None
        try:
            with self._alone():
                clips, size, number = self._there()
                if size + len(data) <= self._max_bytes and clips < MAX_CLIPS:
                    path = self._folder / label / f"{speaker}_overruled_{number}.wav"
                    _write(path, data)
        except OSError:
            path = None
        self.kept += path is not None
        self.refused += path is None
        return path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Other processes may keep clips here as well, but one at a time."""
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)  # which unlocks it

    def _there(self) -> tuple[int, int, int]:
        """Clips, their bytes, and the next number: counted anew, for others may have been here."""
        clips = size = number = 0
        for path in self._folder.glob("*/*.wav"):
            if ours := _OURS.fullmatch(path.name):
                clips += 1
                size += path.stat().st_size
                number = max(number, int(ours.group(1)) + 1)
        return clips, size, number


def _write(path: Path, data: bytes) -> None:
    """Writes aside and renames, readable for nobody else."""
    path.parent.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
    aside = path.with_name(".part")  # always the same: after a power cut it is written over
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with os.fdopen(os.open(aside, flags, _PRIVATE_FILE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def host_name() -> str:
    """A name for this device that does not tell its own: 8 digits of its hash."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _wav(audio: Int16, rate: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(audio.astype("<i2", copy=False).tobytes())
    return buffer.getvalue()
