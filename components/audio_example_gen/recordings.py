"""Which recordings there are in a zip or a folder, whose they are, and their bytes."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from components.errors import InputError

_LARGEST = 64 << 20  # bytes of one WAV; more is not a word
_MOST = 1_000_000  # recordings
_IGNORED = ("_background_noise_", "__MACOSX")


@dataclass(frozen=True)
class Recording:
    """One WAV: ``word`` is the folder it lies in, ``place`` where its bytes are found."""

    word: str
    file: str
    place: str

    @property
    def path(self) -> str:
        """``<word>/<file>``, by which lists and reports name it."""
        return f"{self.word}/{self.file}"

    @property
    def speaker(self) -> str:
        """The file's name up to ``_nohash_``, else up to its first ``_``, else all of it."""
        stem = self.file.rpartition(".")[0]
        if "_nohash_" in stem:
            return stem.partition("_nohash_")[0]
        return stem.partition("_")[0] or stem


class Source(Protocol):
    """Recordings, sorted by path, and a way to read them."""

    recordings: list[Recording]

    def read(self, recording: Recording) -> bytes:
        """The bytes of one WAV; :class:`InputError` where they cannot be had whole."""


@contextmanager
def open_source(path: Path, fewest_words: int = 2) -> Iterator[Source]:
    """The recordings in ``path``, a zip or a folder of ``<word>/*.wav`` at any depth.

    Hidden files, ``_background_noise_`` and ``__MACOSX`` are passed over.

    Args:
        path: of the zip or folder.
        fewest_words: that there must be; a classifier wants two, what is added to others none.

    Raises:
        InputError: nothing at ``path``, a broken zip, too few words, two recordings of the same
            ``<word>/<file>``, or one in no word's folder.
    """
    if path.is_dir():
        yield _Folder(path, fewest_words)
    elif path.is_file():
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise InputError(
                f"{path}: is no complete zip; fetch it again or name a folder of <word>/*.wav"
            ) from None
        with archive:
            yield _Zip(path, archive, fewest_words)
    else:
        raise InputError(f"{path}: does not exist; name a zip or a folder of <word>/*.wav")


class _Folder:
    def __init__(self, path: Path, fewest_words: int) -> None:
        self._path = path
        names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        self.recordings = _recordings(path, names, fewest_words)

    def read(self, recording: Recording) -> bytes:
        file = self._path / recording.place
        try:
            if file.stat().st_size > _LARGEST:
                raise _too_large(str(file))
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from None


class _Zip:
    def __init__(self, path: Path, archive: zipfile.ZipFile, fewest_words: int) -> None:
        self._path, self._archive = path, archive
        names = (info.filename for info in archive.infolist() if not info.is_dir())
        self.recordings = _recordings(path, names, fewest_words)

    def read(self, recording: Recording) -> bytes:
        where = f"{self._path}: {recording.place}"
        try:
            if self._archive.getinfo(recording.place).file_size > _LARGEST:
                raise _too_large(where)
            return self._archive.read(recording.place)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError):
            raise InputError(f"{where} is damaged in the zip; fetch the zip again") from None
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed some other way
            raise InputError(f"{where} cannot be unpacked ({error})") from None


def _recordings(where: Path, names: Iterable[str], fewest_words: int) -> list[Recording]:
    found: dict[str, Recording] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        ignored = any(part in _IGNORED or part.startswith(".") for part in parts)
        if ignored or not name.lower().endswith(".wav"):
            continue
        if len(parts) < 2:
            raise InputError(f"{where}: {name} lies in no word's folder; put it into <word>/{name}")
        recording = Recording(parts[-2], parts[-1], name)
        if recording.path in found:
            raise InputError(
                f"{where}: {recording.path} is there twice ({found[recording.path].place} and "
                f"{name}); remove or rename one"
            )
        found[recording.path] = recording
        if len(found) > _MOST:
            raise InputError(f"{where}: more than {_MOST} recordings; use fewer")
    words = {recording.word for recording in found.values()}
    if len(words) < min(fewest_words, 1):
        raise InputError(f"{where}: holds no <word>/*.wav; name the zip or folder that does")
    if len(words) < fewest_words:
        raise InputError(
            f"{where}: all recordings are of one word, {min(words)!r}; a classifier wants several"
        )
    return [found[path] for path in sorted(found)]


def _too_large(where: str) -> InputError:
    return InputError(f"{where} is larger than {_LARGEST >> 20} MiB; cut it into single words")
