"""Models, their versions and channels, as the repository's signed metadata tells them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, TargetFile, Targets

from edge_client.fleet.channel import ChannelState
from edge_client.fleet.paths import bundle_target
from edge_client.fleet.provenance import Provenance, parse_custom
from serving.registry.errors import ConflictError, NotFoundError
from serving.registry.log import log
from serving.registry.tuf.contents import Contents, target_file
from serving.registry.tuf.push import check_push
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.signing import Change

ChannelListener = Callable[[ChannelState, int], None]


@dataclass(frozen=True)
class Version:
    """One version of a model."""

    provenance: Provenance
    sha256: str
    bytes: int
    retired: bool
    file: str  # of the bundle, among the repository's


@dataclass(frozen=True)
class Model:
    """A model; versions in the order in which they were pushed."""

    name: str
    versions: tuple[Version, ...]
    channels: tuple[ChannelState, ...]


@dataclass(frozen=True)
class Pushed:
    """What became of a push."""

    version: Version
    new: bool  # else the very same was there
    serial: int


class Store:
    """All of it; safe to use from several threads.

    `listeners` are told every channel that has moved, with the serial number, once it is published.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.listeners: list[ChannelListener] = []

    @property
    def serial(self) -> int:
        """Of what the channels offer."""
        return self.repository.contents.serial

    def models(self) -> list[Model]:
        """All models, by name."""
        contents = self.repository.contents
        versions: dict[str, list[Version]] = {}
        for target in contents.targets.signed.targets.values():
            version = _version(contents, target)
            versions.setdefault(version.provenance.model, []).append(version)
        return [_model(contents, name, versions[name]) for name in sorted(versions)]

    def model(self, name: str) -> Model:
        """One model. Raises `NotFoundError`."""
        contents = self.repository.contents
        prefix = bundle_target(name, "x").removesuffix("x.bundle")
        targets = contents.targets.signed.targets.items()
        found = [_version(contents, target) for path, target in targets if path.startswith(prefix)]
        if not found:
            raise NotFoundError(f"no model {name}; GET /models lists them")
        return _model(contents, name, found)

    def version(self, model: str, version: str) -> Version:
        """One version. Raises `NotFoundError`."""
        return _known(self.repository.contents, model, version)

    def channels(self) -> list[ChannelState]:
        """What all channels offer."""
        return list(self.repository.contents.states.values())

    def channel(self, model: str, channel: str) -> ChannelState:
        """What a channel offers; nothing, where it was never set."""
        found = self.repository.contents.states.get((model, channel))
        return found or ChannelState(model, channel, None, None)

    def push(
        self,
        model: str,
        version: str,
        bundle: bytes,
        targets: Metadata[Targets],
        channel: str | None,
    ) -> Pushed:
        """Takes a bundle whose metadata is signed, and makes a channel offer it where one is named.

        Raises:
            ConflictError: there is another bundle of that version, the metadata is not the next
                version, or a rollout runs on the channel.
            RegistryError, EdgeError: as :func:`serving.registry.tuf.push.check_push`.
            OSError: it cannot be written.
        """
        new = True

        def decide(now: Contents, moment: datetime) -> Change:
            nonlocal new
            moved = [] if channel is None else [_moved(now, model, channel, version)]
            there = now.targets.signed.targets.get(bundle_target(model, version))
            if there is None:
                target = check_push(now, moment, model, version, bundle, targets)
                return Change(bundle=(target, bundle), targets=targets, channels=tuple(moved))
            new = False
            try:
                there.verify_length_and_hashes(bundle)
            except LengthOrHashMismatchError:
                raise ConflictError(
                    f"{model} {version} is there with other content; versions do not change, so "
                    "push it as another"
                ) from None
            _check_offered(now, model, version)
            return Change(channels=tuple(moved))

        contents = self._publish(decide)
        return Pushed(_known(contents, model, version), new, contents.serial)

    def activate(self, model: str, channel: str, version: str) -> int:
        """Makes a channel offer a version to all; the serial number.

        Raises:
            NotFoundError: no such version.
            ConflictError: it is retired, or a rollout runs on the channel.
        """

        def decide(now: Contents, _: datetime) -> Change:
            _check_offered(now, model, version)
            return Change(channels=(_moved(now, model, channel, version),))

        return self._publish(decide).serial

    def set_channel(self, state: ChannelState, instead_of: ChannelState | None = None) -> int:
        """Makes a channel offer what the state says, as a rollout does; the serial number.

        Args:
            state: of the channel from now on.
            instead_of: what the caller believes it offers; None: whatever it is.

        Raises:
            NotFoundError: a version of it is not there.
            ConflictError: one is retired, or the channel offers something else by now.
        """

        def decide(now: Contents, _: datetime) -> Change:
            nothing = ChannelState(state.model, state.channel, None, None)
            there = now.states.get((state.model, state.channel), nothing)
            if instead_of is not None and there != instead_of:
                raise ConflictError(f"channel {state.channel} of {state.model} has just moved")
            offered = {state.version, state.rollout.version if state.rollout else None}
            for version in offered - {None}:
                _check_offered(now, state.model, str(version))
            return Change(channels=(state,))

        return self._publish(decide).serial

    def retire(self, model: str, version: str) -> None:
        """Makes a version one that no channel can offer any more.

        Raises:
            NotFoundError: no such version.
            ConflictError: a channel or a rollout offers it.
        """

        def decide(now: Contents, _: datetime) -> Change:
            _known(now, model, version)
            for state in now.states.values():
                in_rollout = state.rollout is not None and state.rollout.version == version
                if state.model == model and (state.version == version or in_rollout):
                    raise ConflictError(
                        f"{model} {version} is offered by channel {state.channel}; activate "
                        "another version there first"
                    )
            return Change(retired=now.retired | {(model, version)})

        self._publish(decide)

    def _publish(self, decide: Callable[[Contents, datetime], Change]) -> Contents:
        moved: tuple[ChannelState, ...] = ()

        def noted(now: Contents, moment: datetime) -> Change:
            nonlocal moved
            change = decide(now, moment)
            moved = tuple(s for s in change.channels if now.states.get((s.model, s.channel)) != s)
            return change

        contents = self.repository.publish(noted)
        for state in moved:
            for listener in self.listeners:
                try:
                    listener(state, contents.serial)
                except Exception:  # it is published, whatever comes of telling so
                    log.exception("a listener failed")
        return contents


def _known(now: Contents, model: str, version: str) -> Version:
    target = now.targets.signed.targets.get(bundle_target(model, version))
    if target is None:
        raise NotFoundError(f"no version {version} of {model}; GET /models/{model} lists them")
    return _version(now, target)


def _check_offered(now: Contents, model: str, version: str) -> None:
    if _known(now, model, version).retired:
        raise ConflictError(f"{model} {version} is retired, and is offered no more")


def _moved(now: Contents, model: str, channel: str, version: str) -> ChannelState:
    state = now.states.get((model, channel))
    if state is not None and state.rollout is not None:
        raise ConflictError(
            f"rollout {state.rollout.id} runs on channel {channel} of {model}; abort it first, or "
            "wait for its end"
        )
    return ChannelState(model, channel, version, None)


def _model(now: Contents, name: str, versions: list[Version]) -> Model:
    ordered = sorted(versions, key=lambda version: version.provenance.pushed_at)
    channels = sorted(
        (state for state in now.states.values() if state.model == name), key=lambda s: s.channel
    )
    return Model(name, tuple(ordered), tuple(channels))


def _version(now: Contents, target: TargetFile) -> Version:
    provenance = parse_custom(target.custom)
    return Version(
        provenance=provenance,
        sha256=target.hashes["sha256"],
        bytes=target.length,
        retired=(provenance.model, provenance.version) in now.retired,
        file=target_file(target.get_prefixed_paths()[0]),
    )
