"""What a device remembers of a model's versions: which failed, proved themselves or crashed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from edge_client.errors import EdgeError
from edge_client.fields import Fields, strict_json
from edge_client.files import read_input, write_whole
from edge_client.fleet.installed.home import Home, locked
from edge_client.fleet.names import NAME
from edge_client.fleet.report import MAX_FAILED, MAX_REASON

_MAX_BYTES = 2**18
_MAX_PROVEN = 8
_MAX_TRIALS = 2**31
_MAX_CRASHES = 8
_LOCK_S = 10.0


@dataclass(frozen=True)
class Failure:
    """A version that is not to be tried again here."""

    version: str
    reason: str  # one word, as of UpdateRefused
    text: str  # one line
    rolled_back: bool  # whether it had been active already
    at: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Crashes:
    """When a version brought processes down; other versions, and starts of the system, are past."""

    version: str = ""
    boot: str = ""  # which start of the system, as of `boot_id`
    at: tuple[float, ...] = ()  # seconds since then, oldest first

    def recent(self, version: str, boot: str, at: float, within_s: float) -> tuple[float, ...]:
        """Those of a version in the time before ``at``."""
        if (version, boot) != (self.version, self.boot):
            return ()
        return tuple(each for each in self.at if at - within_s < each <= at)


@dataclass(frozen=True)
class JournalState:
    """What there is to remember."""

    failed: tuple[Failure, ...] = ()  # oldest first
    proven: tuple[str, ...] = ()  # versions that stood their first uses, oldest first
    trying: str = ""  # the version that is being tried out, or was when the device went down
    trials: int = 0  # of it that have begun, and did not end
    crashes: Crashes = Crashes()  # of the version that crashed last

    def failure(self, version: str) -> Failure | None:
        """Why this version is not to be tried again; None when it may be."""
        return next((each for each in self.failed if each.version == version), None)

    def with_failure(self, failure: Failure) -> JournalState:
        """The same, with one failure more, or a newer one of the same version."""
        short = replace(failure, text=_printable(failure.text)[:MAX_REASON])
        others = tuple(each for each in self.failed if each.version != failure.version)
        proven = tuple(each for each in self.proven if each != failure.version)
        crashes = Crashes() if self.crashes.version == failure.version else self.crashes
        return replace(self, failed=(*others, short)[-MAX_FAILED:], proven=proven, crashes=crashes)

    def with_proven(self, version: str) -> JournalState:
        """The same, with a version that stood its first uses."""
        others = tuple(each for each in self.proven if each != version)
        return replace(self, proven=(*others, version)[-_MAX_PROVEN:])

    def with_crash(self, version: str, boot: str, at: float, within_s: float) -> JournalState:
        """The same, with one crash more; those longer than ``within_s`` before it are past."""
        recent = self.crashes.recent(version, boot, at, within_s)
        return replace(self, crashes=Crashes(version, boot, (*recent, at)[-_MAX_CRASHES:]))

    def offered(self, version: str) -> JournalState:
        """The same, once a channel offers this version: failures of any other are past."""
        kept = tuple(each for each in self.failed if each.version == version)
        state = self if self.trying == version else self.tried_out()
        return replace(state, failed=kept)

    def trying_out(self, version: str) -> JournalState:
        """The same, as a trial of this version begins."""
        before = self.trials if self.trying == version else 0
        return replace(self, trying=version, trials=before + 1)

    def tried_out(self) -> JournalState:
        """The same, once a trial has ended, however it did."""
        return replace(self, trying="", trials=0)

    def retrying(self) -> JournalState:
        """The same, with every version to be tried again."""
        return replace(self.tried_out(), failed=())


class Journal:
    """The journal of one model.  Safe for use by several processes."""

    def __init__(self, home: Home, model: str) -> None:
        self._folder = home.model(model)
        self._path = self._folder / "journal.json"

    def read(self) -> JournalState:
        """What is remembered; nothing where no file is, or one that cannot be read.

        A journal that is lost costs one more try of a version; it must never cost the model.
        """
        try:
            return _parse(read_input(self._path, _MAX_BYTES, "journal", EdgeError))
        except (ValueError, RecursionError):  # an EdgeError is a ValueError
            return JournalState()

    def change(self, change: Callable[[JournalState], JournalState]) -> JournalState:
        """Remembers something else, through a power cut; returns it.

        Raises:
            OSError: it cannot be written; what was remembered is as before.
            DeviceFailure: another process does not let go of the journal.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._folder / "journal.lock", _LOCK_S, "its journal is in use"):
            for aside in self._folder.glob(".journal.json.*"):  # of a process that was killed
                aside.unlink(missing_ok=True)
            before = self.read()
            after = change(before)
            if after != before:
                write_whole(self._path, json.dumps(asdict(after), indent=1).encode())
            return after


def _parse(data: bytes) -> JournalState:
    with Fields(strict_json(data), "journal") as fields:
        return JournalState(
            failed=tuple(_failure(part) for part in fields.mappings("failed", MAX_FAILED)),
            proven=fields.texts("proven", 0, _MAX_PROVEN),
            trying="" if fields.missing("trying") else fields.text("trying", shortest=0),
            trials=0 if fields.missing("trials") else fields.whole("trials", 0, _MAX_TRIALS),
            crashes=Crashes() if fields.missing("crashes") else _crashes(fields.mapping("crashes")),
        )


def _crashes(part: Fields) -> Crashes:
    with part:
        return Crashes(
            version=part.text("version", shortest=0),
            boot=part.text("boot", shortest=0),
            at=part.numbers("at")[-_MAX_CRASHES:],
        )


def _failure(part: Fields) -> Failure:
    with part:
        return Failure(
            version=part.text("version", NAME),
            reason=part.text("reason"),
            text=part.text("text", shortest=0, longest=MAX_REASON),
            rolled_back=part.flag("rolled_back"),
            at=part.text("at"),
        )


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
