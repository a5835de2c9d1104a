"""What the devices of one process see of the registry: how long it takes, and how much comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError

from edge_client.fleet.paths import METADATA
from edge_client.fleet.update.fetcher import Fetcher


@dataclass
class Counted:
    """One process's figures, or those of all together."""

    metadata_s: list[float] = field(default_factory=list)  # seconds of each request
    metadata_bytes: int = 0
    targets: int = 0  # requests for bundles and for what a channel offers
    target_bytes: int = 0
    failed: int = 0  # requests without an answer
    late_s: list[float] = field(default_factory=list)  # that devices waited for the simulator

    def add(self, other: Counted) -> None:
        """Adds those of another process."""
        self.metadata_s += other.metadata_s
        self.metadata_bytes += other.metadata_bytes
        self.targets += other.targets
        self.target_bytes += other.target_bytes
        self.failed += other.failed
        self.late_s += other.late_s


class Meter:
    """Counts; for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = Counted()

    def asked(self, url: str, seconds: float, size: int, failed: bool) -> None:
        """A request is over."""
        with self._lock:
            counted = self._counted
            counted.failed += failed
            if METADATA in url:
                counted.metadata_s.append(seconds)
                counted.metadata_bytes += size
            else:
                counted.targets += 1
                counted.target_bytes += size

    def late(self, seconds: float) -> None:
        """A device was due so long before it could begin."""
        with self._lock:
            self._counted.late_s.append(seconds)

    def take(self) -> Counted:
        """All since the last time."""
        with self._lock:
            counted, self._counted = self._counted, Counted()
        return counted


class MeteredFetcher(Fetcher):
    """A device's fetcher with a watch in its hand."""

    def __init__(self, registry: str, meter: Meter) -> None:
        super().__init__(registry)
        self._meter = meter

    def download_bytes(self, url: str, max_length: int) -> bytes:
        began, data = time.perf_counter(), None
        try:
            data = super().download_bytes(url, max_length)
            return data
        except DownloadHTTPError:  # an answer as well: there is no newer root, say
            data = b""
            raise
        finally:
            seconds = time.perf_counter() - began
            self._meter.asked(url, seconds, len(data or b""), data is None)

    def download_whole(
        self, url: str, partial: Path, length: int, progress: Callable[[int], None]
    ) -> None:
        began, size = time.perf_counter(), 0
        try:
            super().download_whole(url, partial, length, progress)
            size = length
        finally:
            self._meter.asked(url, time.perf_counter() - began, size, not size)
