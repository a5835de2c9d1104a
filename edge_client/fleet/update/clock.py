"""What time it is at least, for a device whose clock may be reset to 1970 by every power cut.

A clock that cannot be wrong by what is known is believed, and the latest moment it showed while
verified metadata came is kept.  One that is behind that moment, or behind this program, is wrong;
then metadata tells the time: a timestamp lives for a day, so it was signed a day before it expires,
or later.  From what is kept, the processor's own steady clock counts on while the process lives.

A clock that is far ahead leaves nothing behind, for whatever it shows is kept only as far as signed
metadata bears it out, and metadata of the far future only by a device whose clock is behind.  What
such metadata did to it, a new root undoes: it takes away the key that signed it.
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
_WRITTEN = 1_767_225_600.0  # 2026-01-01: no clock that is right shows less
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
        newer_root = root > self._root
        known = 0.0 if newer_root else self.proven()
        signed, system = expires - TIMESTAMP_LIFE_S, self._system()
        behind = system < max(known, _WRITTEN)
        self._proven = max(known, signed if behind else min(signed, system))
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
