"""What a registry offers, as far as it is signed by whom this device was told to trust."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata, TargetFile
from tuf.ngclient import Updater as TufUpdater
from tuf.ngclient import UpdaterConfig

from edge_client.bundle.file import MAX_BUNDLE_BYTES
from edge_client.files import sha256_of, sync_folder
from edge_client.fleet.channel import MAX_CHANNEL_BYTES, ChannelError, ChannelState
from edge_client.fleet.enrolment import EnrolmentError, check_root, read_root
from edge_client.fleet.errors import (
    ExpiredRefused,
    FleetError,
    FreezeRefused,
    HashRefused,
    LengthRefused,
    MetadataRefused,
    NotFoundRefused,
    RegistryAway,
)
from edge_client.fleet.installed.home import Home
from edge_client.fleet.paths import METADATA, TARGETS, bundle_target, channel_target
from edge_client.fleet.report import utc_text
from edge_client.fleet.update.clock import TrustedClock
from edge_client.fleet.update.diagnosis import diagnose
from edge_client.fleet.update.fetcher import Fetcher

_CHANNELS = "channels"
# Roots are counted from the one given at enrolment; those seen before are read from the disk.
_CONFIG = UpdaterConfig(max_root_rotations=1024, max_delegations=4)
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Target:
    """A file the registry offers, as signed."""

    path: str
    length: int  # bytes
    sha256: str
    custom: Mapping[str, Any]  # what its signer wrote beside it


class Trust:
    """Verified answers of one registry.  Not safe for use by several threads at once."""

    def __init__(
        self,
        home: Home,
        registry: str,
        clock: TrustedClock | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        """Asks nothing yet.

        Args:
            home: of the device, with the root given at enrolment.
            registry: its URL.
            clock: what time it is at least.
            fetcher: from that registry.

        Raises:
            EdgeError: no such URL.
        """
        self._home = home
        self._fetcher = fetcher or Fetcher(registry)
        self._clock = clock or TrustedClock(home.clock)
        self._tuf: TufUpdater | None = None
        self._documents: dict[str, tuple[str, ChannelState]] = {}  # by path: hash and content

    def refresh(self) -> None:
        """Learns what the registry offers now.

        Raises:
            UpdateRefused: its subclass for what is wrong with what the registry says.
            RegistryAway: it cannot be asked.
            EnrolmentError: this device has no root to trust.
            OSError: metadata cannot be kept.
        """
        root = read_root(self._home.root)
        try:
            check_root(root, str(self._home.root))
        except EnrolmentError as error:
            raise EnrolmentError(f"{error}; enrol again") from None
        folder = self._home.trusted
        clock = self._home.clock
        for left in (*folder.glob("tmp*"), *clock.parent.glob(f".{clock.name}.*")):
            # By a process that was killed while it wrote.
            left.unlink(missing_ok=True)
        before = _files(folder)
        registry = self._fetcher.registry
        self._fetcher.begin()
        self._tuf = None
        with self._diagnosed():
            tuf = TufUpdater(
                str(folder),
                registry + METADATA,
                fetcher=self._fetcher,
                config=_CONFIG,
                bootstrap=root,
            )
            tuf.refresh()
        changed = _keep(folder, before)
        self._clock.learn(
            _metadata(folder, "timestamp").signed.expires.timestamp(),
            _metadata(folder, "root").signed.version,
        )
        for role in ("root", "timestamp", "snapshot", "targets"):
            self._check_life(role, changed)
        self._tuf = tuf

    def channel(self, model: str, channel: str) -> ChannelState:
        """What a channel offers, as of the last refresh.

        Raises:
            NotFoundRefused: there is no such channel.
            UpdateRefused, RegistryAway, OSError: as of :meth:`refresh`.
        """
        path = channel_target(model, channel)
        target = self._target(path, MAX_CHANNEL_BYTES)
        if target is None:
            raise NotFoundRefused(f"{self._fetcher.registry}: no channel {channel} of {model}")
        known = self._documents.get(path)
        if known is not None and known[0] == target.sha256:
            return known[1]
        with self._diagnosed():
            data = self._fetcher.download_bytes(self._url(target), target.length)
        if len(data) != target.length:
            raise LengthRefused(f"{path}: not the {target.length} bytes that were signed")
        if hashlib.sha256(data).hexdigest() != target.sha256:
            raise HashRefused(f"{path}: not what was signed")
        try:
            state = ChannelState.parse(data)
        except ChannelError as error:
            raise MetadataRefused(f"{path}: {error}") from None
        if (state.model, state.channel) != (model, channel):
            raise MetadataRefused(f"{path}: speaks of {state.model} {state.channel}")
        self._documents[path] = (target.sha256, state)
        return state

    def bundle(self, model: str, version: str) -> Target:
        """What was signed for a version, as of the last refresh.

        Raises:
            NotFoundRefused: it was not signed.
            UpdateRefused, RegistryAway, OSError: as of :meth:`refresh`.
        """
        target = self._target(bundle_target(model, version), MAX_BUNDLE_BYTES)
        if target is None:
            raise NotFoundRefused(f"{self._fetcher.registry}: no version {version} of {model}")
        named = target.custom.get("model", model), target.custom.get("version", version)
        if named != (model, version):
            raise MetadataRefused(f"{target.path}: signed as another model or version")
        return target

    def download(self, target: Target, partial: Path, progress: Progress) -> Path:
        """Fetches a file, or what of it is not there yet.

        Args:
            target: what was signed for.
            partial: where it is gathered; what is there already is not fetched again.
            progress: called with the bytes that are there.

        Returns:
            ``partial``, verified and written through.

        Raises:
            LengthRefused, HashRefused, EndlessRefused: what came is not what was signed.
            RegistryAway: it broke off; what came is kept.
            OSError: it cannot be written.
        """
        resumed = partial.exists()
        self._fetcher.download_whole(self._url(target), partial, target.length, progress)
        size = partial.stat().st_size
        if size == target.length and sha256_of(partial) == target.sha256:
            return partial
        partial.unlink()
        if resumed:  # a power cut may have damaged what was there: that is nobody's attack
            return self.download(target, partial, progress)
        kind = HashRefused if size == target.length else LengthRefused
        raise kind(f"{target.path}: not the {target.length} bytes that were signed")

    def close(self) -> None:
        """Closes the connection kept alive."""
        self._fetcher.close()

    def _url(self, target: Target) -> str:
        folder, _, name = target.path.rpartition("/")
        return f"{self._fetcher.registry}{TARGETS}/{folder}/{target.sha256}.{name}"

    def _target(self, path: str, largest: int) -> Target | None:
        if self._tuf is None:
            raise FleetError("nothing was learnt from the registry yet")
        before = _files(self._home.trusted)
        with self._diagnosed():
            found = self._tuf.get_targetinfo(path)
        changed = _keep(self._home.trusted, before)
        if path.startswith(f"{_CHANNELS}/"):
            self._check_life(_CHANNELS, changed)
        return None if found is None else _checked(found, largest)

    def _check_life(self, role: str, changed: Collection[Path]) -> None:
        """Whether metadata is over by the time it is at least; by the system's clock, TUF did."""
        proven = self._clock.proven()
        if proven <= self._clock.system():
            return
        try:
            signed = _metadata(self._home.trusted, role).signed
        except (OSError, RepositoryError):  # the role is not there, which is told elsewhere
            return
        if signed.is_expired(datetime.fromtimestamp(proven, timezone.utc)):
            seen = role == "timestamp" and self._home.trusted / "timestamp.json" not in changed
            kind = FreezeRefused if seen else ExpiredRefused
            raise kind(
                f"{role}.json is expired: this device's clock says {utc_text(self._clock.system())}"
                f", but it is {utc_text(proven)} at least"
            )

    @contextmanager
    def _diagnosed(self) -> Iterator[None]:
        fetcher = self._fetcher
        try:
            yield
        except RepositoryError as error:
            refusal = diagnose(error, fetcher.fetched, self._home.trusted)
            moment = utc_text(self._clock.system())
            more = f" (this device's clock says {moment})" if _of_time(refusal.reason) else ""
            raise type(refusal)(f"{fetcher.registry}: {refusal}{more}") from None
        except DownloadHTTPError as error:
            raise RegistryAway(
                f"{fetcher.registry}: answers {error.status_code} when asked for its metadata"
            ) from None
        except DownloadError as error:
            raise RegistryAway(f"{fetcher.registry}: {error}") from None


def _of_time(reason: str) -> bool:
    return reason in ("expired", "freeze")


def _checked(found: TargetFile, largest: int) -> Target:
    sha256 = found.hashes.get("sha256", "")
    if not (len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")):
        raise MetadataRefused(f"{found.path}: signed without its SHA-256")
    if found.length > largest:
        raise LengthRefused(f"{found.path}: {found.length} bytes; {largest} are taken at most")
    custom = found.custom
    return Target(found.path, found.length, sha256, custom if isinstance(custom, dict) else {})


def _metadata(folder: Path, role: str) -> Metadata[Any]:
    return Metadata.from_bytes((folder / f"{role}.json").read_bytes())


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    """What tells a file that was written anew, for every file of metadata."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path: ((status := path.stat()).st_ino, status.st_mtime_ns) for path in files}


def _keep(folder: Path, before: Mapping[Path, tuple[int, int]]) -> list[Path]:
    """Writes through what is new: metadata lost in a power cut could be rolled back unnoticed."""
    changed = [path for path, mark in _files(folder).items() if before.get(path) != mark]
    for path in changed:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for parent in {path.parent for path in changed}:
        sync_folder(parent)
    return changed
