"""How often an installed model answered and how fast, counted by the processes that run it.

Each process has a page of its own, a small file it maps and holds a lock on while it lives, so
nobody waits for anybody: counting costs no system call, and whoever wants to know adds the pages
up.  A page also says whether its process is inside the model right now.  When a process is gone
(its lock is free) and was inside, the model took it along.

Pages survive the death of a process, whatever it died of, but not surely a power cut; what cannot
be read then is counted from zero.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_client.fleet.installed.boot import boot_id

MAX_PROCESSES = 32  # that are counted at once; further ones go uncounted

# Sixteen buckets an octave from 1 µs to 134 s: a percentile is right within 2.2 %.
_PER_OCTAVE = 16
_BUCKETS = 27 * _PER_OCTAVE
_LEAST_MS = 2**-10

# Words of eight bytes.
_MAGIC = int.from_bytes(b"ml4iuse1", "little")
_IS, _INSIDE, _COUNT, _SINCE, _BOOT, _VERSION, _TOTAL = 0, 1, 2, 3, 4, 6, 16
_INFERENCE = _TOTAL + _BUCKETS
_WORDS = _INFERENCE + _BUCKETS
_BYTES = 8 * _WORDS


@dataclass(frozen=True)
class Usage:
    """What one version did on this device, in all processes together."""

    version: str
    inferences: int
    since: float  # seconds since 1970
    total: Sequence[int]  # [buckets] how many took how long, features included
    inference: Sequence[int]  # [buckets] the model alone

    def percentile(self, share: float, inference: bool = False) -> float:
        """Milliseconds that ``share`` of the answers took at most; 0 where there are none."""
        counts = self.inference if inference else self.total
        wanted, seen = share * sum(counts), 0
        for bucket, count in enumerate(counts):
            seen += count
            if count and seen >= wanted:
                return _LEAST_MS * 2 ** ((bucket + 0.5) / _PER_OCTAVE)
        return 0.0


class Page:
    """What one process counts on.  Not safe for use by several threads at once."""

    def __init__(self, handle: int, version: str) -> None:
        """Takes a locked page over; it is counted on from where it is, if of this version.

        Args:
            handle: the open file, which becomes the page's to close.
            version: that is run.

        Raises:
            OSError: there is no room on the disk.
        """
        self._handle = handle
        if os.fstat(handle).st_size != _BYTES:
            # A hole in the file would kill this process once the disk is full.
            os.pwrite(handle, bytes(_BYTES), 0)
            os.truncate(handle, _BYTES)
        self._map = mmap.mmap(handle, _BYTES)
        self._bytes = memoryview(self._map)
        self._words = words = self._bytes.cast("Q")
        words[_INSIDE] = 0
        if words[_IS] != _MAGIC or _version(self._bytes) != version:
            self._bytes[:] = bytes(_BYTES)
            self._bytes[8 * _VERSION : 8 * _TOTAL] = version.encode().ljust(8 * (_TOTAL - _VERSION))
            words[_SINCE] = int(time.time())
            words[_IS] = _MAGIC
        self._bytes[8 * _BOOT : 8 * _VERSION] = boot_id().bytes

    @property
    def inferences(self) -> int:
        """How many were counted on this page."""
        return self._words[_COUNT]

    def enter(self) -> None:
        """The model is about to run; a process that dies from now on dies of it."""
        self._words[_INSIDE] = 1

    def leave(self) -> None:
        """The model has come back, with an answer or without one."""
        self._words[_INSIDE] = 0

    def count(self, total_ms: float, inference_ms: float) -> None:
        """One answer."""
        words = self._words
        words[_TOTAL + _bucket(total_ms)] += 1
        words[_INFERENCE + _bucket(inference_ms)] += 1
        words[_COUNT] += 1

    def close(self) -> None:
        """Nothing is counted any more; what was, stays for whoever reads."""
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self._handle)


def open_page(folder: Path, version: str) -> Page | None:
    """A page for this process; None when :data:`MAX_PROCESSES` others have one.

    It is one nobody counts on any more, of the same version if there is one, else one that nothing
    was counted on.  Whoever may have died inside a model is to be looked for first: see
    :func:`deaths`.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    for fits in (version, None, ""):
        for path in _pages(folder):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _locked(handle) and _free_for(handle, fits):
                    return Page(handle, version)
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
    return None


def deaths(folder: Path, settle: Callable[[str], None]) -> None:
    """Finds processes that died inside a model.

    Args:
        folder: of the pages.
        settle: called with the version each of them ran; only once it returns is the death
            forgotten, so that none is when this process dies as well.

    Raises:
        OSError: a page cannot be read.
    """
    for path in _pages(folder):
        with _free(path) as handle:
            if handle is not None and _died_inside(handle):
                settle(_version(os.pread(handle, _BYTES, 0)))
                os.pwrite(handle, bytes(8), 8 * _INSIDE)


def forget(folder: Path, version: str) -> None:
    """Counts this version from zero, but for processes that run it right now.

    Raises:
        OSError: a page cannot be read or written.
    """
    for path in _pages(folder):
        with _free(path) as handle:
            if handle is None:
                continue
            data = os.pread(handle, _BYTES, 0)
            if _whole(data) and _version(data) == version:
                os.pwrite(handle, bytes(8), 8 * _IS)


def read_usage(folder: Path, version: str) -> Usage | None:
    """What this version did; None where it never ran.  Pages that cannot be read count nothing."""
    count, since, total, inference = 0, math.inf, [0] * _BUCKETS, [0] * _BUCKETS
    for path in _pages(folder):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if not _whole(data) or _version(data) != version:
            continue
        words = memoryview(data).cast("Q")
        count += words[_COUNT]
        since = min(since, words[_SINCE])
        for bucket in range(_BUCKETS):
            total[bucket] += words[_TOTAL + bucket]
            inference[bucket] += words[_INFERENCE + bucket]
    if math.isinf(since):
        return None
    return Usage(version, count, since, total, inference)


def _pages(folder: Path) -> Iterator[Path]:
    return (folder / str(number) for number in range(MAX_PROCESSES))


@contextmanager
def _free(path: Path) -> Iterator[int | None]:
    """The open page of nobody, held meanwhile; None where it is somebody's or there is none."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield handle if _locked(handle) else None
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the page is ours now.  Such a lock ends with its process, however that ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free_for(handle: int, version: str | None) -> bool:
    """Whether a page may be counted on: one of a version, an unused one (None), any ("")."""
    data = os.pread(handle, _BYTES, 0)
    if not _whole(data):
        return version is None
    return version in ("", _version(data)) and not _died_inside(handle)


def _died_inside(handle: int) -> bool:
    """Whether the page's last process did, and not because the whole device went down."""
    data = os.pread(handle, _BYTES, 0)
    if not _whole(data) or not any(data[8 * _INSIDE : 8 * _COUNT]):
        return False
    return data[8 * _BOOT : 8 * _VERSION] == boot_id().bytes


def _whole(data: bytes) -> bool:
    return len(data) == _BYTES and int.from_bytes(data[:8], "little") == _MAGIC


def _version(page: bytes | memoryview) -> str:
    text = bytes(page[8 * _VERSION : 8 * _TOTAL]).rstrip(b"\0 ")
    return text.decode("ascii", "replace")


def _bucket(ms: float) -> int:
    if not ms > _LEAST_MS:
        return 0
    octaves = math.log2(min(ms / _LEAST_MS, 2**27))
    return min(int(octaves * _PER_OCTAVE), _BUCKETS - 1)
