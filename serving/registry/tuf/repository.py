"""The TUF repository on disk, and the only ways in which it changes.

A change is written as one by ``transaction``: the target files first and the timestamp last, by
which devices find all the rest. What is read comes from memory.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from tuf.api.metadata import Metadata, Targets

from edge_client.fleet.channel import ChannelState
from serving.options import UsageError
from serving.registry.tuf.contents import (
    CHANNELS,
    Contents,
    load_contents,
    target_file,
    versioned,
)
from serving.registry.tuf.expiry import expiring
from serving.registry.tuf.files import TIMESTAMP, StaticFiles
from serving.registry.tuf.keys import read_key
from serving.registry.tuf.signing import LIFE, ONLINE, Change, following
from serving.registry.tuf.transaction import change, exclusive, recover

_NUMBERED = re.compile(rf"metadata/([1-9][0-9]{{0,8}})\.(targets|snapshot|{CHANNELS})\.json")


def utc_now() -> datetime:
    """In whole seconds, as metadata has it."""
    return datetime.now(timezone.utc).replace(microsecond=0)


class Repository:
    """A registry's folder; safe to use from several threads and processes.

    Where one of them changes it, the others follow at their next change or :meth:`renew`.
    """

    def __init__(self, folder: Path, now: Callable[[], datetime] = utc_now) -> None:
        """Opens the folder, after finishing or discarding what a kill left begun.

        Args:
            folder: made by ``create``.
            now: the moment, in UTC, from which the life of what is signed counts.

        Raises:
            UsageError: it is none, is damaged, or cannot be written.
        """
        self.folder = folder
        self.files = StaticFiles(folder)
        self._now = now
        self._lock = threading.RLock()
        try:
            with exclusive(folder):
                recover(folder)
                self._load()
        except OSError as error:
            raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from error

    @property
    def contents(self) -> Contents:
        """What is published now."""
        return self._contents

    def expiring(self) -> list[str]:
        """What the operator is to sign anew soon, a line each."""
        return expiring(self._contents, self.folder, self._now())

    def publish(self, decide: Callable[[Contents, datetime], Change]) -> Contents:
        """Makes the change that `decide` wants of what is there; nobody else's comes between.

        What `decide` raises comes through, and then nothing has changed. Raises OSError as
        :func:`serving.registry.tuf.transaction.change` does.
        """
        with self._held():
            self._make(decide(self._contents, self._now()))
            return self._contents

    def point(self, states: Iterable[ChannelState]) -> int:
        """Makes channels offer what `states` say; the serial number of that."""
        moved = tuple(states)
        return self.publish(lambda _, __: Change(channels=moved)).serial

    def renew(self) -> bool:
        """Takes up what other processes changed, and signs anew what is half through its life.

        Whether anything was signed. Raises OSError, or `UsageError` for a folder damaged meanwhile;
        what is served stays as it was.
        """
        with self._held():
            due = frozenset(role for role in ONLINE if self._is_due(role))
            if due:
                self._make(Change(), due)
                self._prune()
            return bool(due)

    @contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock, exclusive(self.folder):
            recover(self.folder)
            if _stamp(self.folder) != self._seen:
                self._load()
            yield

    def _load(self) -> None:
        contents = load_contents(self.folder)
        self._keys = {role: read_key(self.folder / f"online/{role}.pem") for role in ONLINE}
        self._contents = contents
        self._seen = _stamp(self.folder)
        self.files.look()

    def _is_due(self, role: str) -> bool:
        left = self._contents.expires(role) - self._now()
        # Longer than it lives: signed while the clock was ahead, and of use to who holds it back.
        return not LIFE[role] / 2 <= left <= LIFE[role]

    def _make(self, wanted: Change, due: frozenset[str] = frozenset()) -> None:
        keys = {**self._keys, **wanted.online}
        made = following(self._contents, wanted, due, keys, self._now())
        if not made.files:
            return
        change(self.folder, made.files)
        self._contents, self._keys = made.contents, keys
        self._seen = _stamp(self.folder)
        self.files.put(made.files)

    def _prune(self) -> None:
        """Removes what only expired timestamps refer to.

        A version is of use until the timestamp of its day is expired, counted from when the next
        version took its place.
        """
        limit = self._now().timestamp() - 2 * LIFE["timestamp"].total_seconds()
        known = self.files.known
        gone = set()
        # By the whole path: a channel may be called as a role is, and operators leave copies there.
        numbered = {path: found for path in known if (found := _NUMBERED.fullmatch(path))}
        for path, found in numbered.items():
            later = versioned(found[2], int(found[1]) + 1)
            if later in known and (self.folder / later).stat().st_mtime < limit:
                gone.add(path)
        kept: set[str] = set()
        for path, found in numbered.items():
            if path not in gone and found[2] == CHANNELS:
                offered = Metadata[Targets].from_file(str(self.folder / path)).signed.targets
                kept.update(target_file(t.get_prefixed_paths()[0]) for t in offered.values())
        gone.update(p for p in known if p.startswith("targets/channels/") and p not in kept)
        self.files.remove(frozenset(gone))


def _stamp(folder: Path) -> tuple[int, int]:
    """Another one after every change: whatever changes, the timestamp is signed anew last."""
    status = (folder / TIMESTAMP).stat()
    return status.st_ino, status.st_mtime_ns
