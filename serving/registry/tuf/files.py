"""The files that devices fetch, in memory as far as they fit.

Only files found in the folder are ever opened, by the paths under which they were found: nothing
a client sends becomes part of one.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_CACHED_BYTES = 96 * 2**20
_SERVED = ("metadata", "targets")
TIMESTAMP = "metadata/timestamp.json"  # alone of all it changes under its name
JSON, BYTES = "application/json", "application/octet-stream"
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class StaticFile:
    """A file's content, and the head of the answer that holds it."""

    path: str
    data: bytes
    etag: str
    head: Mapping[str, str]


class StaticFiles:
    """What lies below ``metadata/`` and ``targets/``; safe to use from several threads."""

    def __init__(self, folder: Path, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._cached: OrderedDict[str, StaticFile] = OrderedDict()
        self._bytes = 0
        self._loading: dict[str, asyncio.Future[StaticFile]] = {}

    @property
    def known(self) -> frozenset[str]:
        """The paths of all files."""
        return self._known

    def look(self) -> None:
        """Finds out which files there are."""
        found = frozenset(
            str(path.relative_to(self._folder))
            for top in _SERVED
            for path in (self._folder / top).rglob("*")
            if path.is_file() and not path.is_symlink()
        )
        with self._lock:
            self._known = found
            for path in [path for path in self._cached if path == TIMESTAMP or path not in found]:
                self._forget(path)

    def put(self, files: Mapping[str, bytes]) -> None:
        """Serves these from now on, all at once."""
        served = {path: data for path, data in files.items() if path.split("/")[0] in _SERVED}
        with self._lock:
            self._known |= served.keys()
            for path, data in served.items():
                self._keep(_static(path, data))

    def remove(self, paths: frozenset[str]) -> None:
        """Serves these no longer, and deletes them."""
        with self._lock:
            self._known -= paths
            for path in paths:
                self._forget(path)
        for path in paths:
            (self._folder / path).unlink(missing_ok=True)

    def at_hand(self, path: str) -> StaticFile | None:
        """The file if it is in memory."""
        with self._lock:
            found = self._cached.get(path)
            if found is not None:
                self._cached.move_to_end(path)
            return found

    async def get(self, path: str) -> StaticFile | None:
        """The file; None where there is none of that path."""
        found = self.at_hand(path)
        if found is not None or path not in self._known:
            return found
        # Whoever else wants it meanwhile waits for the same reading.
        loading = self._loading.get(path)
        if loading is None:
            loading = asyncio.ensure_future(asyncio.to_thread(self._read, path))
            self._loading[path] = loading
            loading.add_done_callback(lambda _: self._loading.pop(path, None))
        try:
            return await asyncio.shield(loading)
        except FileNotFoundError:  # removed since
            return None

    def _read(self, path: str) -> StaticFile:
        file = _static(path, (self._folder / path).read_bytes())
        with self._lock:
            if path in self._known:
                self._keep(file)
        return file

    def _keep(self, file: StaticFile) -> None:
        self._forget(file.path)
        self._cached[file.path] = file
        self._bytes += len(file.data)
        while self._bytes > self._max_bytes and len(self._cached) > 1:
            self._forget(next(iter(self._cached)))

    def _forget(self, path: str) -> None:
        file = self._cached.pop(path, None)
        if file is not None:
            self._bytes -= len(file.data)


def _static(path: str, data: bytes) -> StaticFile:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    head = {
        "content-type": JSON if path.startswith("metadata/") else BYTES,
        "cache-control": "no-cache" if path == TIMESTAMP else _FOREVER,
        "etag": etag,
        "accept-ranges": "bytes",
    }
    return StaticFile(path, data, etag, head)
