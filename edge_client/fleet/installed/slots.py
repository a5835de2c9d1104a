"""The two places of a model: one is active, the other keeps the version before it.

``slots/a`` and ``slots/b`` are folders that are complete or not there; ``active`` is a symbolic
link to one of them.  Everything new is made aside, written through and renamed, so that a power cut
at any instant leaves the one state or the other.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge_client.errors import EdgeError
from edge_client.fields import Fields, strict_json
from edge_client.files import read_input, replace_link, sha256_of, sync_folder, write_whole
from edge_client.fleet.installed.home import Home, locked
from edge_client.fleet.installed.journal import Failure, Journal
from edge_client.fleet.names import NAME
from edge_client.fleet.report import Slot, utc_text

SlotName = Literal["a", "b"]

_SLOT_FILE = "slot.json"
_MAX_SLOT_BYTES = 4096
_MAX_BUNDLE_BYTES = 2**40
_LOCK_S = 10.0


@dataclass(frozen=True)
class InstalledSlot:
    """A version that is installed."""

    slot: SlotName
    version: str
    sha256: str  # of the bundle
    bytes: int
    since: str  # ISO 8601, UTC: when it was installed
    bundle: Path

    def to_json(self) -> dict[str, Any]:
        """What is written beside the bundle."""
        return {
            "version": self.version,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "since": self.since,
        }

    def intact(self) -> bool:
        """Whether the bundle still is what was verified; reads all of it."""
        try:
            return sha256_of(self.bundle) == self.sha256
        except OSError:
            return False

    def reported(self) -> Slot:
        """The same as a device reports it."""
        return Slot(self.version, self.slot, self.since)


class Slots:
    """The slots of one model.  Safe for use by several processes."""

    def __init__(self, home: Home, model: str) -> None:
        """Raises :class:`FleetError` for what is no name of a model."""
        self.model = model
        self.journal = Journal(home, model)
        self._folder = home.model(model)
        self._slots = self._folder / "slots"
        self._active = self._folder / "active"

    def active(self) -> InstalledSlot | None:
        """What is in use; None where nothing is installed."""
        name = self._active_name()
        return None if name is None else self._read(name)

    def previous(self) -> InstalledSlot | None:
        """What can be gone back to; None where there is nothing."""
        name = self._active_name()
        return None if name is None else self._read(_other(name))

    def install(self, bundle: Path, version: str, sha256: str) -> InstalledSlot:
        """Moves a verified bundle into the slot that is not needed.

        That is the one that is not active; but an active version that has not proved itself yet
        makes room before one that has, so that there is always something good to go back to.

        Args:
            bundle: on the same file system, written through; it is gone from there afterwards.
            version: of the model.
            sha256: of the bundle, as signed.

        Raises:
            OSError: the disk is full or cannot be written; what is active is as it was.
        """
        with self._changing():
            active, previous = self.active(), self.previous()
            proven = self.journal.read().proven
            if active is None:
                target: SlotName = "a"
            elif (
                previous is not None
                and previous.version in proven
                and active.version not in proven
                and previous.intact()
            ):
                target = active.slot
            else:
                target = _other(active.slot)
            slot = InstalledSlot(
                slot=target,
                version=version,
                sha256=sha256,
                bytes=bundle.stat().st_size,
                since=utc_text(time.time()),
                bundle=self._bundle(self._slots / target),
            )
            stage = self._slots / f".{target}.new"
            stage.mkdir()
            write_whole(stage / _SLOT_FILE, json.dumps(slot.to_json()).encode())
            bundle.rename(self._bundle(stage))
            sync_folder(stage)
            if previous is not None and target != previous.slot:
                self._point(previous.slot)
            self._clear(target)
            stage.rename(self._slots / target)
            sync_folder(self._slots)
            return slot

    def switch(self, slot: InstalledSlot) -> None:
        """Makes a slot the active one, at once.

        Raises:
            OSError: the link cannot be written; what was active still is.
        """
        with self._changing():
            self._point(slot.slot)

    def back(self, reason: str, text: str, version: str) -> InstalledSlot | None:
        """Gives up the active version for the one before it, and remembers why.

        Args:
            reason: one word, as of :class:`UpdateRefused`.
            text: one line.
            version: that failed; where another is active by now, nothing is done.

        Returns:
            What is active now; None when there is nothing to go back to, or nothing that has not
            failed itself: then the active one stays, for a bad model is better than none.

        Raises:
            OSError: it cannot be written; :meth:`settle` finishes what was begun.
        """
        with self._changing():
            active = self.active()
            if active is None or active.version != version:
                return None
            failure = Failure(active.version, reason, text, True, utc_text(time.time()))
            try:
                self.journal.change(lambda state: state.with_failure(failure))
            except OSError:  # on a full disk, going back comes first, and makes room
                left = self._leave(active)
                self.journal.change(lambda state: state.with_failure(failure))
                return left
            return self._leave(active)

    def settle(self) -> InstalledSlot | None:
        """Finishes what was interrupted, and leaves a slot that has become unreadable.

        Returns:
            What is active now, with the hash it was verified by; None where nothing such is left.

        Raises:
            OSError: something cannot be written.
        """
        with self._changing():
            active = self.active()
            failed = {each.version: each for each in self.journal.read().failed}
            if active is not None and active.intact():
                # Of a going back, perhaps only the first step was done: to remember why.
                failure = failed.get(active.version)
                return (self._leave(active) if failure and failure.rolled_back else None) or active
            whole = [slot for slot in (self._read("a"), self._read("b")) if slot and slot.intact()]
            for name in {"a", "b"} - {slot.slot for slot in whole}:
                self._clear(name)
            if not whole:
                self._active.unlink(missing_ok=True)
                return None
            slot = min(whole, key=lambda each: each.version in failed)
            self._point(slot.slot)
            return slot

    def _leave(self, active: InstalledSlot) -> InstalledSlot | None:
        previous = self.previous()
        if previous is None or not previous.intact():
            return None
        if self.journal.read().failure(previous.version):
            return None
        self._point(previous.slot)
        self._clear(active.slot)  # nobody is to go back to this one
        return previous

    def _point(self, name: SlotName) -> None:
        replace_link(self._active, f"slots/{name}")

    def _clear(self, name: str) -> None:
        if (self._slots / name).exists():
            old = self._slots / f".{name}.old"
            (self._slots / name).rename(old)
            sync_folder(self._slots)
            shutil.rmtree(old)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone, and after what an interrupted change left aside is gone."""
        self._slots.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._folder / "slots.lock", _LOCK_S, "its slots are in use"):
            for folder in self._slots.glob(".*"):
                shutil.rmtree(folder)
            for aside in self._folder.glob(".active.*"):
                aside.unlink(missing_ok=True)
            yield

    def _active_name(self) -> SlotName | None:
        try:
            name = self._active.readlink().name
        except OSError:
            return None
        return "a" if name == "a" else "b" if name == "b" else None

    def _read(self, name: SlotName) -> InstalledSlot | None:
        """A slot; None where there is none, or one that is not whole."""
        folder = self._slots / name
        bundle = self._bundle(folder)
        try:
            data = read_input(folder / _SLOT_FILE, _MAX_SLOT_BYTES, _SLOT_FILE, EdgeError)
            with Fields(strict_json(data), _SLOT_FILE) as fields:
                slot = InstalledSlot(
                    name,
                    fields.text("version", NAME),
                    fields.text("sha256"),
                    fields.whole("bytes", 0, _MAX_BUNDLE_BYTES),
                    fields.text("since"),
                    bundle,
                )
            return slot if bundle.stat().st_size == slot.bytes else None
        except (ValueError, RecursionError, OSError):  # an EdgeError is a ValueError
            return None

    def _bundle(self, folder: Path) -> Path:
        return folder / f"{self.model}.bundle"


def _other(name: SlotName) -> SlotName:
    return "b" if name == "a" else "a"
