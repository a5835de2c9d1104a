"""What is signed next: from what is published and a change to it, new contents and their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from edge_client.fleet.channel import ChannelState
from edge_client.fleet.paths import channel_target
from serving.registry.tuf.contents import (
    CHANNELS,
    RETIRED,
    Contents,
    target_file,
    versioned,
)

DAY = timedelta(days=1)
LIFE = {
    "root": 365 * DAY,
    "targets": 365 * DAY,
    CHANNELS: 7 * DAY,
    "snapshot": 7 * DAY,
    "timestamp": DAY,
}
ONLINE = (CHANNELS, "snapshot", "timestamp")  # the roles whose keys the registry holds
_HASHES = ["sha256"]
S = TypeVar("S", Snapshot, Targets, Timestamp)


@dataclass(frozen=True)
class Change:
    """What is to be different; what is left out stays as it is."""

    bundle: tuple[TargetFile, bytes] | None = None  # new, and named in `targets`
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    channels: tuple[ChannelState, ...] = ()  # those that move
    retired: frozenset[tuple[str, str]] | None = None  # all of them
    online: Mapping[str, CryptoSigner] = field(default_factory=dict)  # new keys, by role


@dataclass(frozen=True)
class Signing:
    """New contents, and the files they are written as: what refers to others after them."""

    contents: Contents
    files: Mapping[str, bytes]


def following(
    now: Contents,
    change: Change,
    due: frozenset[str],
    keys: Mapping[str, CryptoSigner],
    moment: datetime,
) -> Signing:
    """What comes after `now`.

    Args:
        now: what is published.
        change: to it.
        due: online roles to be signed anew in any case.
        keys: of the online roles, after the change.
        moment: from which their life counts.
    """
    files: dict[str, bytes] = {}
    states = {**now.states, **{(s.model, s.channel): s for s in change.channels}}
    fresh = set(due) | set(change.online)
    if states != now.states:
        fresh.add(CHANNELS)
    if CHANNELS in fresh or change.targets is not None:
        fresh.add(Snapshot.type)
    # By which processes know that another one has changed something.
    others = change.root is not None or change.retired not in (None, now.retired)
    if others or Snapshot.type in fresh:
        fresh.add(Timestamp.type)

    root, targets, channels = now.root, now.targets, now.channels
    snapshot, timestamp, retired = now.snapshot, now.timestamp, now.retired
    if change.bundle is not None:
        target, data = change.bundle
        files[target_file(target.get_prefixed_paths()[0])] = data
    if change.root is not None:
        root = change.root
        files[versioned(Root.type, root.signed.version)] = root.to_bytes()
    if change.targets is not None:
        targets = change.targets
        files[versioned(Targets.type, targets.signed.version)] = targets.to_bytes()
    if CHANNELS in fresh:
        offered = {}
        for named, state in states.items():
            path = channel_target(*named)
            document = state.serialise()
            offered[path] = TargetFile.from_data(path, document, _HASHES)
            if now.states.get(named) != state:
                files[target_file(offered[path].get_prefixed_paths()[0])] = document
        signed = Targets(now.serial + 1, expires=moment + LIFE[CHANNELS], targets=offered)
        channels = _signed(signed, keys[CHANNELS])
        files[versioned(CHANNELS, signed.version)] = channels.to_bytes()
    if Snapshot.type in fresh:
        listed = {
            f"{role}.json": _described(metadata)
            for role, metadata in ((Targets.type, targets), (CHANNELS, channels))
        }
        version = now.snapshot.signed.version + 1
        expires = moment + LIFE[Snapshot.type]
        snapshot = _signed(Snapshot(version, expires=expires, meta=listed), keys[Snapshot.type])
        files[versioned(Snapshot.type, version)] = snapshot.to_bytes()
    if Timestamp.type in fresh:
        version = now.timestamp.signed.version + 1
        expires = moment + LIFE[Timestamp.type]
        newest = Timestamp(version, expires=expires, snapshot_meta=_described(snapshot))
        timestamp = _signed(newest, keys[Timestamp.type])
        files["metadata/timestamp.json"] = timestamp.to_bytes()
    if change.retired is not None and change.retired != now.retired:
        retired = change.retired
        listing = [{"model": model, "version": version} for model, version in sorted(retired)]
        files[RETIRED] = json.dumps({"retired": listing}).encode()
    for role, key in change.online.items():
        files[f"online/{role}.pem"] = key.private_bytes
    contents = Contents(root, targets, channels, snapshot, timestamp, states, retired)
    return Signing(contents, files)


def _signed(signed: S, key: CryptoSigner) -> Metadata[S]:
    metadata = Metadata(signed)
    metadata.sign(key)
    return metadata


def _described(metadata: Metadata[Any]) -> MetaFile:
    """With length and hash: no other file of that version passes, and none that never ends."""
    return MetaFile.from_data(metadata.signed.version, metadata.to_bytes(), _HASHES)
