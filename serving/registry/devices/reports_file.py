"""The devices' last reports on disk, so that a registry that starts again knows its fleet at once.

An SQLite file: reports come by the thousand, and a file written whole for each would keep a disk
busy with nothing else. What the last seconds before a power cut brought may be lost; devices'
reports are retained by the broker and come again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serving.registry.log import log

_LOCKED_S = 10.0
_TABLE = """\
CREATE TABLE IF NOT EXISTS reports (
    device TEXT NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
    payload BLOB NOT NULL, heard_at REAL NOT NULL,
    PRIMARY KEY (device, kind, what)
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Row:
    """One report as it came."""

    device: str
    kind: str  # status, model or usage
    what: str  # the model; empty for a status
    payload: bytes | None  # None: taken back
    heard_at: float  # Unix seconds


class ReportsFile:
    """The file; one thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Opens it, or begins anew where it is damaged. Raises `OSError`."""
        self._path = path
        try:
            self._database = self._opened()
            self.rows()
        except sqlite3.OperationalError as error:  # a full disk, no permission, in use
            raise OSError(f"{path}: cannot be used ({error})") from error
        except sqlite3.DatabaseError as error:
            log.warning("%s cannot be read (%s); begun anew", path, error)
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._database = self._opened()

    def rows(self) -> list[Row]:
        """All that is in it."""
        found = self._database.execute("SELECT device, kind, what, payload, heard_at FROM reports")
        return [Row(*row) for row in found]

    def write(self, rows: Iterable[Row]) -> None:
        """Takes up all of these or none. Raises `OSError`, such as for a full disk."""
        try:
            with self._database:
                for row in rows:
                    key = (row.device, row.kind, row.what)
                    if row.payload is None:
                        self._database.execute(
                            "DELETE FROM reports WHERE device = ? AND kind = ? AND what = ?", key
                        )
                    else:
                        self._database.execute(
                            "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?)",
                            (*key, row.payload, row.heard_at),
                        )
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: cannot be written ({error})") from error

    def close(self) -> None:
        """No more can be written."""
        self._database.close()

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_LOCKED_S, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute(_TABLE)
        except sqlite3.Error:
            database.close()
            raise
        return database
