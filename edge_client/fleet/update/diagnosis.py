"""What is wrong with metadata that does not verify, in the words of the attack it would be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tuf.api.exceptions import (
    BadVersionNumberError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Targets

from edge_client.fleet.errors import (
    ExpiredRefused,
    FreezeRefused,
    HashRefused,
    MetadataRefused,
    MixRefused,
    RollbackRefused,
    SignatureRefused,
    UnknownKeyRefused,
    UpdateRefused,
)
from edge_client.fleet.update.fetcher import Fetched

_VERSIONED = re.compile(r"([0-9]{1,15})\.([a-z]+)\.json")


def diagnose(error: RepositoryError, fetched: Fetched, trusted: Path) -> UpdateRefused:
    """The refusal for an error of verification.

    Args:
        error: of ``tuf.ngclient``.
        fetched: what came before it.
        trusted: the folder of metadata that was verified.
    """
    name = fetched.name
    said = " ".join(str(error).split())[:160]
    numbered = _VERSIONED.fullmatch(name)
    metadata = _read(fetched.data)
    version = metadata.signed.version if metadata else None
    if isinstance(error, ExpiredMetadataError):
        if "timestamp" in said and _version(fetched.timestamp) == _seen(trusted):
            return FreezeRefused(f"nothing newer came before it expired: {said}")
        return ExpiredRefused(said)
    if isinstance(error, UnsignedMetadataError):
        if metadata and not set(metadata.signatures) & _known_keys(trusted):
            return UnknownKeyRefused(f"{name}: signed by no key this device knows")
        return SignatureRefused(f"{name}: {said}")
    named = int(numbered[1]) if numbered and numbered[2] != Root.type else version
    if version != named:
        return MixRefused(f"{name}: holds version {version}, which is of another state")
    if isinstance(error, BadVersionNumberError):
        return RollbackRefused(f"{name}: older than what was seen before: {said}")
    if isinstance(error, LengthOrHashMismatchError):
        return HashRefused(f"{name}: not the file its metadata speaks of")
    return MetadataRefused(f"{name}: {said}")


def _read(data: bytes) -> Metadata[Any] | None:
    try:
        return Metadata.from_bytes(data)
    except RepositoryError:
        return None


def _trusted(folder: Path, name: str) -> Metadata[Any] | None:
    try:
        return _read((folder / name).read_bytes())
    except OSError:
        return None


def _version(data: bytes) -> int | None:
    metadata = _read(data)
    return metadata.signed.version if metadata else None


def _seen(folder: Path) -> int | None:
    metadata = _trusted(folder, "timestamp.json")
    return metadata.signed.version if metadata else None


def _known_keys(folder: Path) -> set[str]:
    """The ids of all keys that any metadata trusted so far names."""
    known: set[str] = set()
    root, targets = _trusted(folder, "root.json"), _trusted(folder, "targets.json")
    if root and isinstance(root.signed, Root):
        known |= set(root.signed.keys)
    if targets and isinstance(targets.signed, Targets) and targets.signed.delegations:
        known |= set(targets.signed.delegations.keys)
    return known
