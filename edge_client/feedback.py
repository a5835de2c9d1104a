"""Clips on which the big model overruled the small one, kept as a labelled set to train on.

Only where its owner asked for it, readable for nobody else, and never more than was allowed.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import wave
from collections.abc import Iterable
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
            there = [p for p in folder.glob("*/*.wav") if _OURS.fullmatch(p.name)]
            self._bytes, self._clips = sum(p.stat().st_size for p in there), len(there)
        except OSError as error:
            raise EdgeError(f"{folder}: clips cannot be kept here: {error.strerror}") from None
        numbers = (_OURS.fullmatch(p.name) for p in there)
        self._next = max((int(n.group(1)) for n in numbers if n is not None), default=-1) + 1

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
        if self._bytes + len(data) > self._max_bytes or self._clips >= MAX_CLIPS:
            self.refused += 1
            return None
        if speaker is None or not _SPEAKER.fullmatch(speaker):
            speaker = host_name()
        parent = self._folder / label
        try:
            parent.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
            while (path := self._write(parent, speaker, data)) is None:
                self._next += 1  # another process keeps clips here, too
        except OSError:
            self.refused += 1
            return None
        self._next += 1
        self._bytes += len(data)
        self._clips += 1
        self.kept += 1
        return path

    def _write(self, parent: Path, speaker: str, data: bytes) -> Path | None:
        """Writes aside and renames; None where the name is taken."""
        path = parent / f"{speaker}_overruled_{self._next}.wav"
        aside = parent / f".{path.name}.part"
        try:
            # Exclusive, so that of two processes only one goes on to look and to rename.
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        except FileExistsError:
            return None
        try:
            with os.fdopen(handle, "wb") as file:
                if path.exists():
                    return None
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        return path


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
