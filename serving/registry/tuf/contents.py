"""What a registry publishes at one moment, read from its folder and verified as a device would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from edge_client.errors import EdgeError
from edge_client.fields import Fields, strict_json
from edge_client.fleet.channel import ChannelState
from edge_client.fleet.names import NAME
from serving.options import UsageError

CHANNELS = "channels"  # the role that may say what channels offer, and nothing else
ROLES = ("root", "targets", CHANNELS, "snapshot", "timestamp")
CHANNEL_PATHS = "channels/*/*"
RETIRED = "state/retired.json"
MAX_METADATA_BYTES = 5_000_000  # what tuf.ngclient takes of targets metadata at most
_ROOT = re.compile(r"([1-9][0-9]{0,8})\.root\.json")


@dataclass(frozen=True)
class Contents:
    """All the metadata of one moment, and what it says of channels."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    channels: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    states: Mapping[tuple[str, str], ChannelState]  # by model and channel
    retired: frozenset[tuple[str, str]]  # model and version

    @property
    def serial(self) -> int:
        """The number of what the channels offer: one more whenever that is signed anew."""
        return self.channels.signed.version

    def expires(self, role: str) -> datetime:
        """Until when a role's metadata is valid."""
        metadata: Metadata[Any] = getattr(self, role)
        expires: datetime = metadata.signed.expires
        return expires


def versioned(role: str, version: int) -> str:
    """The path of a role's metadata in the folder."""
    return f"metadata/{version}.{role}.json"


def load_contents(folder: Path) -> Contents:
    """Reads what the folder publishes.

    Everything is verified but the expiry, for an expired repository must be renewed rather than
    refused.  Raises `UsageError` for what is missing or does not fit together.
    """
    try:
        return _load(folder)
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: is missing; restore the folder from a copy") from error
    except (RepositoryError, EdgeError, ValueError, LookupError, TypeError) as error:
        text = " ".join(str(error).split())[:200]
        raise UsageError(f"{folder}: damaged ({text}); restore it from a copy") from error


def _load(folder: Path) -> Contents:
    root = Metadata[Root].from_bytes((folder / newest_root(folder)).read_bytes())
    root.verify_delegate(Root.type, root)
    timestamp = Metadata[Timestamp].from_bytes(_read(folder, "metadata/timestamp.json"))
    root.verify_delegate(Timestamp.type, timestamp)
    meta = timestamp.signed.snapshot_meta
    data = _read(folder, versioned(Snapshot.type, meta.version))
    meta.verify_length_and_hashes(data)
    snapshot = Metadata[Snapshot].from_bytes(data)
    root.verify_delegate(Snapshot.type, snapshot)
    targets = _listed(folder, snapshot, Targets.type)
    root.verify_delegate(Targets.type, targets)
    channels = _listed(folder, snapshot, CHANNELS)
    targets.verify_delegate(CHANNELS, channels)
    for target in targets.signed.targets.values():
        path = folder / target_file(target.get_prefixed_paths()[0])
        if path.stat().st_size != target.length:
            raise ValueError(f"{path.name} is not of the length that was signed")
    return Contents(
        root, targets, channels, snapshot, timestamp, _states(folder, channels), _retired(folder)
    )


def newest_root(folder: Path) -> str:
    """The path of the newest root's metadata. Raises FileNotFoundError where there is none."""
    found = [_ROOT.fullmatch(path.name) for path in (folder / "metadata").glob("*.root.json")]
    numbers = [int(match[1]) for match in found if match]
    return versioned(Root.type, max(numbers, default=1))


def target_file(path: str) -> str:
    """The path in the folder of a target's (prefixed) path."""
    return f"targets/{path}"


def _read(folder: Path, path: str) -> bytes:
    with (folder / path).open("rb") as file:
        data = file.read(MAX_METADATA_BYTES + 1)
    if len(data) > MAX_METADATA_BYTES:
        raise ValueError(f"{path} is larger than devices take")
    return data


def _listed(folder: Path, snapshot: Metadata[Snapshot], role: str) -> Metadata[Targets]:
    meta = snapshot.signed.meta[f"{role}.json"]
    data = _read(folder, versioned(role, meta.version))
    meta.verify_length_and_hashes(data)
    return Metadata[Targets].from_bytes(data)


def _states(folder: Path, channels: Metadata[Targets]) -> dict[tuple[str, str], ChannelState]:
    states = {}
    for target in channels.signed.targets.values():
        data = _read(folder, target_file(target.get_prefixed_paths()[0]))
        target.verify_length_and_hashes(data)
        state = ChannelState.parse(data)
        states[state.model, state.channel] = state
    return states


def _retired(folder: Path) -> frozenset[tuple[str, str]]:
    if not (folder / RETIRED).exists():
        return frozenset()
    with Fields(strict_json((folder / RETIRED).read_bytes()), "retired.json") as fields:
        parts = fields.mappings("retired", 10**6)
        pairs = [(part.text("model", NAME), part.text("version", NAME)) for part in parts]
    return frozenset(pairs)
