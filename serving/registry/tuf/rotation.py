"""New keys for a role, which devices follow by themselves from version to version of the root."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Targets

from serving.registry.tuf.contents import CHANNELS, Contents
from serving.registry.tuf.keys import keys_by_id, new_key, signers, unused_path, write_key
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.signing import LIFE, ONLINE, Change


@dataclass(frozen=True)
class Rotated:
    """Which key files are used from now on, and which no more."""

    made: tuple[Path, ...]
    void: tuple[Path, ...]
    root_version: int


def rotate(repository: Repository, keys: Path, role: str) -> Rotated:
    """Replaces all keys of a role, and signs anew what they sign.

    As many new keys as there were, with the same threshold. For `root` and `targets` they are
    written to the folder `keys`, from which the root keys (for `channels`: the targets keys) are
    taken as well.

    Raises:
        UsageError: too few of those keys are there, or a folder cannot be written.
        OSError: as of `Repository.publish`.
    """
    offline = keys_by_id(keys)
    contents = repository.contents
    former = list(_role(contents, role).keyids)
    fresh = [new_key() for _ in former]
    # Looked for before anything is written; and the keys before the metadata that wants them.
    _authors(contents, role, keys)
    if role in ONLINE:
        made = [repository.folder / f"online/{role}.pem"]
    else:
        made = [_keep(keys, role, key) for key in fresh]

    # Should this fail, the new keys stay: a change that was decided on may still need them.
    now = repository.publish(lambda now, moment: _rotation(now, role, fresh, keys, moment))
    void = tuple(offline[keyid] for keyid in former if keyid in offline)
    return Rotated(tuple(made), void, now.root.signed.version)


def _keep(folder: Path, role: str, key: CryptoSigner) -> Path:
    path = unused_path(folder, role)
    write_key(path, key)
    return path


def _role(contents: Contents, role: str) -> Any:
    delegator = contents.targets if role == CHANNELS else contents.root
    return delegator.signed.get_delegated_role(role)


def _authors(contents: Contents, role: str, keys: Path) -> list[CryptoSigner]:
    """Whoever may say which keys a role has."""
    author = Targets.type if role == CHANNELS else Root.type
    found = _role(contents, author)
    return signers(keys, found.keyids, found.threshold, author)


def _rotation(
    now: Contents, role: str, fresh: Sequence[CryptoSigner], keys: Path, moment: datetime
) -> Change:
    authors = _authors(now, role, keys)
    online = {role: fresh[0]} if role in ONLINE else {}
    if role == CHANNELS:
        return Change(targets=_with_keys(now.targets, role, fresh, authors, moment), online=online)
    # Devices that know the former root take the new one by the signatures of both.
    both = [*authors, *fresh] if role == Root.type else authors
    root = _with_keys(now.root, role, fresh, both, moment)
    targets = _next(now.targets, fresh, moment) if role == Targets.type else None
    return Change(root=root, targets=targets, online=online)


def _with_keys(
    metadata: Metadata[Any],
    role: str,
    fresh: Sequence[CryptoSigner],
    authors: Sequence[CryptoSigner],
    moment: datetime,
) -> Metadata[Any]:
    """The next version, in which a role has other keys."""
    signed = deepcopy(metadata.signed)
    for keyid in list(signed.get_delegated_role(role).keyids):
        signed.revoke_key(keyid, role)
    for key in fresh:
        signed.add_key(key.public_key, role)
    return _next(Metadata(signed), authors, moment)


def _next(
    metadata: Metadata[Any], authors: Sequence[CryptoSigner], moment: datetime
) -> Metadata[Any]:
    signed = deepcopy(metadata.signed)
    signed.version += 1
    signed.expires = moment + LIFE[signed.type]
    following: Metadata[Any] = Metadata(signed)
    for key in authors:
        following.sign(key, append=True)
    return following
