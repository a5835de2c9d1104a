"""A new registry: its offline and online keys, and the first version of all metadata."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from edge_client.files import sync_folder
from serving.options import UsageError
from serving.registry.tuf.contents import CHANNEL_PATHS, CHANNELS, Contents
from serving.registry.tuf.keys import new_key, write_key
from serving.registry.tuf.repository import utc_now
from serving.registry.tuf.signing import LIFE, ONLINE, Change, following
from serving.registry.tuf.transaction import write_synced

MAX_KEYS = 16
TRUSTED_ROOT = "root.json"  # beside the offline keys: what devices are enrolled with


@dataclass(frozen=True)
class KeyCounts:
    """How many offline keys there are, and how many of them must sign."""

    root: int = 1
    root_threshold: int = 1
    targets: int = 1
    targets_threshold: int = 1

    def checked(self) -> KeyCounts:
        """The same. Raises `UsageError`."""
        for role, keys, threshold in (
            ("root", self.root, self.root_threshold),
            ("targets", self.targets, self.targets_threshold),
        ):
            if not 1 <= threshold <= keys <= MAX_KEYS:
                raise UsageError(
                    f"{threshold} of {keys} {role} keys: a threshold between 1 and the number of "
                    f"keys is wanted, and at most {MAX_KEYS} keys"
                )
        return self


@dataclass(frozen=True)
class Created:
    """Where everything is."""

    folder: Path
    root_keys: tuple[Path, ...]
    targets_keys: tuple[Path, ...]
    trusted_root: Path


def create(
    folder: Path, keys: Path, counts: KeyCounts, now: Callable[[], datetime] = utc_now
) -> Created:
    """Makes a registry in a folder that is not there yet, or is empty.

    Args:
        folder: the registry's.
        keys: where the offline keys go; none of them may be there yet.
        counts: of the offline keys.
        now: the moment, in UTC.

    Raises:
        UsageError: one of the folders is in use, or cannot be written.
    """
    counts.checked()
    folder, keys = folder.resolve(), keys.resolve()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder}: is there already; name a new or an empty folder")
    if keys.is_relative_to(folder):
        raise UsageError(f"{keys}: inside the registry's folder; offline keys belong elsewhere")
    root = [new_key() for _ in range(counts.root)]
    targets = [new_key() for _ in range(counts.targets)]
    online = {role: new_key() for role in ONLINE}
    paths = _key_paths(keys, counts)
    try:
        taken = next((path for path in (*paths.offline, paths.trusted) if path.exists()), None)
        if taken is not None:
            raise UsageError(f"{taken}: is there already; name another folder with --keys")
        for path, key in zip(paths.offline, [*root, *targets], strict=True):
            write_key(path, key)
        files = _first(root, targets, online, counts, now())
        write_synced(paths.trusted, files["metadata/1.root.json"])
        sync_folder(keys)
        _write_folder(folder, files)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from error
    offline = paths.offline
    return Created(folder, offline[: counts.root], offline[counts.root :], paths.trusted)


@dataclass(frozen=True)
class _Paths:
    offline: tuple[Path, ...]
    trusted: Path


def _key_paths(keys: Path, counts: KeyCounts) -> _Paths:
    root = [keys / f"root-{number}.pem" for number in range(1, counts.root + 1)]
    more = [keys / f"targets-{number}.pem" for number in range(2, counts.targets + 1)]
    return _Paths((*root, keys / "targets.pem", *more), keys / TRUSTED_ROOT)


def _first(
    root_keys: Sequence[CryptoSigner],
    targets_keys: Sequence[CryptoSigner],
    online: dict[str, CryptoSigner],
    counts: KeyCounts,
    moment: datetime,
) -> dict[str, bytes]:
    """The files of a repository with no models yet."""
    root = Root(expires=moment + LIFE[Root.type], consistent_snapshot=True)
    for role, keys in (
        (Root.type, root_keys),
        (Targets.type, targets_keys),
        (Snapshot.type, [online[Snapshot.type]]),
        (Timestamp.type, [online[Timestamp.type]]),
    ):
        for key in keys:
            root.add_key(key.public_key, role)
    root.roles[Root.type].threshold = counts.root_threshold
    root.roles[Targets.type].threshold = counts.targets_threshold
    signed_root = Metadata(root)
    for key in root_keys:
        signed_root.sign(key, append=True)

    delegated = DelegatedRole(CHANNELS, [], 1, terminating=True, paths=[CHANNEL_PATHS])
    targets = Targets(
        expires=moment + LIFE[Targets.type], delegations=Delegations({}, {CHANNELS: delegated})
    )
    targets.add_key(online[CHANNELS].public_key, CHANNELS)
    signed_targets = Metadata(targets)
    for key in targets_keys:
        signed_targets.sign(key, append=True)

    nothing = Contents(
        root=signed_root,
        targets=signed_targets,
        channels=Metadata(Targets(version=1)),
        snapshot=Metadata(Snapshot(version=1)),
        timestamp=Metadata(Timestamp(version=1)),
        states={},
        retired=frozenset(),
    )
    change = Change(root=signed_root, targets=signed_targets, online=online)
    return dict(following(nothing, change, frozenset(ONLINE), online, moment).files)


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Whole or not at all: made beside its place, then renamed."""
    aside = folder.with_name(f".{folder.name}.making")
    shutil.rmtree(aside, ignore_errors=True)
    for path, data in files.items():
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        write_synced(aside / path, data, 0o600 if path.startswith("online/") else 0o644)
    (aside / "targets").mkdir(exist_ok=True)
    for each in (aside / "online", aside / "metadata", aside):
        sync_folder(each)
    (aside / "online").chmod(0o700)
    aside.rename(folder)
    sync_folder(folder.parent)
