"""Who may write: names, roles and the SHA-256 of their tokens, in a file beside the metadata.

A token itself is told once, when it is made, and kept nowhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from edge_client.fields import FieldError, Fields, strict_json
from edge_client.files import write_whole
from edge_client.fleet.names import NAME, check_name
from serving.options import UsageError
from serving.registry.tuf.transaction import exclusive

Role = Literal["push", "operate", "device"]
ROLES: tuple[str, ...] = get_args(Role)
FILE = "tokens.json"
MAX_TOKENS = 100_000
MAX_FILE_BYTES = 32 * 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Holder:
    """Whoever shows a token."""

    name: str  # of a device: its id
    role: Role
    sha256: str


class Tokens:
    """The tokens of one registry; a change of the file is seen at the next question."""

    def __init__(self, folder: Path) -> None:
        """Raises `UsageError` for a file that cannot be read."""
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._seen: object = None
        self._holders: dict[str, Holder] = {}
        self._look()

    @property
    def empty(self) -> bool:
        """Whether nobody has a token."""
        self._look()
        return not self._holders

    def holder(self, token: str) -> Holder | None:
        """Who shows it; None for one that is not known."""
        self._look()
        return self._holders.get(hashlib.sha256(token.encode("utf-8", "replace")).hexdigest())

    def add(self, name: str, role: Role) -> str:
        """A new token for a name that has none yet, which is kept nowhere else.

        Raises:
            FleetError: what cannot be a name.
            UsageError: the name has a token, or the file cannot be written.
        """
        check_name(name, "name")
        with self._alone():
            holders = _read(self._path)
            if any(holder.name == name for holder in holders):
                raise UsageError(f"{name} has a token; remove it first, and the old one is void")
            if len(holders) >= MAX_TOKENS:
                raise UsageError(f"{self._path}: holds {MAX_TOKENS} tokens, which are all it takes")
            token = secrets.token_urlsafe(32)
            made = Holder(name, role, hashlib.sha256(token.encode()).hexdigest())
            _write(self._path, [*holders, made])
        return token

    def remove(self, name: str) -> None:
        """Makes the token of a name void. Raises `UsageError` where it has none."""
        with self._alone():
            holders = _read(self._path)
            kept = [holder for holder in holders if holder.name != name]
            if len(kept) == len(holders):
                raise UsageError(f"{name[:80]!r} has no token in {self._path}")
            _write(self._path, kept)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile, in another process neither."""
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self._path.parent))
            except OSError as error:
                raise UsageError(
                    f"{error.filename}: cannot be written: {error.strerror}"
                ) from error
            yield

    def _look(self) -> None:
        found = _stamp(self._path)
        if found != self._seen:
            with self._lock:
                self._holders = {holder.sha256: holder for holder in _read(self._path)}
                self._seen = found


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _read(path: Path) -> list[Holder]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        if len(data) > MAX_FILE_BYTES:
            raise FieldError(f"larger than {MAX_FILE_BYTES} bytes")
        with Fields(strict_json(data), "tokens.json") as fields:
            return [_holder(part) for part in fields.mappings("tokens", MAX_TOKENS)]
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}; put back a copy that is whole") from error


def _holder(part: Fields) -> Holder:
    with part:
        role = cast(Role, part.choice("role", ROLES))
        return Holder(part.text("name", NAME), role, part.text("sha256", _SHA256))


def _write(path: Path, holders: Iterable[Holder]) -> None:
    text = json.dumps({"tokens": [asdict(holder) for holder in holders]}, indent=1)
    try:
        write_whole(path, text.encode() + b"\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
