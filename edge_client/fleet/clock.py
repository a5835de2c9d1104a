"""What time it is at least, for a device whose clock may be reset to 1970 by every power cut.

Metadata tells when it was signed: a timestamp lives for a day, so it was signed a day before it
expires, or later.  The newest such moment that was verified is kept; from there the processor's own
steady clock counts on while the process lives.  What the system's clock says is taken where it is
later, and never kept: a clock that was far ahead is forgotten the moment it is set right.

Whoever steals the timestamp's key could sign one of the far future, and make a device believe in
it.  A new root, which takes that key away, therefore begins the count anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from edge_client.errors import EdgeError
from edge_client.fields import Fields, strict_json
from edge_client.files import read_input, write_whole

TIMESTAMP_LIFE_S = 86_400.0  # for which the registry signs a timestamp, at most
_WORTH_WRITING_S = 3600.0  # a flash card lives longer for it
_MAX_BYTES = 1024
_MAX_VERSION = 2**53


class TrustedClock:
    """Seconds since 1970, never earlier than what signed metadata has proven."""

    def __init__(
        self,
        path: Path,
        system: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads what was kept, if anything readable was.

        Args:
            path: the file it is kept in.
            system: the clock of the system, which may say anything.
            steady: seconds that never run backwards while this process lives.
        """
        self._path, self._system, self._steady = path, system, steady
        self._kept, self._root = _read(path)
        self._proven, self._since = self._kept, steady()

    def system(self) -> float:
        """What the system's clock says."""
        return self._system()

    def proven(self) -> float:
        """The time it is at least."""
        return self._proven + self._steady() - self._since

    def learn(self, expires: float, root: int) -> None:
        """A timestamp was verified.

        Args:
            expires: seconds since 1970.
            root: the version of the root by which it was verified.

        Raises:
            OSError: it cannot be kept.
        """
        signed = expires - TIMESTAMP_LIFE_S
        newer_root = root > self._root
        self._proven = signed if newer_root else max(self.proven(), signed)
        self._since = self._steady()
        if newer_root or self._proven - self._kept > _WORTH_WRITING_S:
            document = {"time": self._proven, "root": root}
            write_whole(self._path, json.dumps(document).encode())
            self._kept, self._root = self._proven, root


def _read(path: Path) -> tuple[float, int]:
    try:
        with Fields(strict_json(read_input(path, _MAX_BYTES, path.name, EdgeError)), "") as fields:
            return fields.number("time"), fields.whole("root", 0, _MAX_VERSION)
    except (ValueError, RecursionError):  # an EdgeError is a ValueError
        return 0.0, 0
