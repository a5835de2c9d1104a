"""What a device was told when it joined the fleet: who it is, what it runs, whom it asks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_client.fields import Fields, strict_json
from edge_client.files import check_size, read_input, replace_link, write_whole
from edge_client.fleet.errors import FleetError
from edge_client.fleet.installed.home import Home
from edge_client.fleet.names import NAME, check_name
from edge_client.fleet.topics import DEFAULT_PREFIX, Topics

if TYPE_CHECKING:
    from edge_client.mqtt.broker import Broker

DEFAULT_CHANNEL = "stable"
DEFAULT_POLL_S = 300.0
MAX_MODELS = 32
MAX_ROOT_BYTES = 512_000
_MAX_BYTES = 2**16
_LONGEST_PATH = 4096
_LOCK_S = 10.0
_SHORTEST_POLL_S, _LONGEST_POLL_S = 1.0, 86_400.0


class EnrolmentError(FleetError):
    """No enrolment, or one that cannot be."""


@dataclass(frozen=True)
class EnrolledModel:
    """A model this device runs, and the channel it follows."""

    model: str
    channel: str = DEFAULT_CHANNEL

    @staticmethod
    def parse(text: str) -> EnrolledModel:
        """``MODEL`` or ``MODEL:CHANNEL``; raises :class:`FleetError`."""
        model, separator, channel = text.partition(":")
        return EnrolledModel(
            check_name(model, "model"),
            check_name(channel, "channel") if separator else DEFAULT_CHANNEL,
        )


@dataclass(frozen=True)
class EnrolledBroker:
    """The broker of the fleet; the password stays in its own file."""

    address: str  # HOST[:PORT]
    ca: str | None = None  # path of a PEM file
    username: str | None = None
    password_file: str | None = None
    prefix: str = DEFAULT_PREFIX

    def open(self) -> Broker:
        """Reads the password; raises :class:`~edge_client.mqtt.broker.BrokerError`."""
        from edge_client.mqtt.broker import open_broker

        return open_broker(
            self.address,
            Path(self.ca) if self.ca else None,
            self.username,
            Path(self.password_file) if self.password_file else None,
        )

    def topics(self) -> Topics:
        """Where things are said on it."""
        return Topics(self.prefix)


@dataclass(frozen=True)
class Enrolment:
    """A device's place in the fleet."""

    device: str
    registry: str  # URL
    models: tuple[EnrolledModel, ...]
    broker: EnrolledBroker | None = None
    poll_s: float = DEFAULT_POLL_S  # how often the registry is asked where nothing is announced

    def __post_init__(self) -> None:
        """Raises :class:`EnrolmentError`."""
        check_name(self.device, "device")
        names = [each.model for each in self.models]
        if not names:
            raise EnrolmentError("enrolment: no model; name at least one")
        if len(names) > MAX_MODELS:
            raise EnrolmentError(f"enrolment: {len(names)} models; {MAX_MODELS} are allowed")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise EnrolmentError(f"enrolment: model {twice} twice; a device follows one channel")
        if not _SHORTEST_POLL_S <= self.poll_s <= _LONGEST_POLL_S:
            raise EnrolmentError(
                f"enrolment: asking every {self.poll_s:g} s; "
                f"{_SHORTEST_POLL_S:g} to {_LONGEST_POLL_S:g} are allowed"
            )

    def model(self, name: str) -> EnrolledModel:
        """The entry of a model; raises :class:`EnrolmentError` for one that is not enrolled."""
        for each in self.models:
            if each.model == name:
                return each
        raise EnrolmentError(f"model {name[:64]}: this device is not enrolled for it")

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def read_enrolment(home: Home) -> Enrolment:
    """The enrolment of this device; raises :class:`EnrolmentError` where there is none."""
    if not home.has(home.enrolment):
        raise EnrolmentError(
            f"{home.path}: this device is not enrolled; `ml4iot-edge enrol` comes first"
        )
    name = str(home.enrolment)
    data = read_input(home.enrolment, _MAX_BYTES, name, EnrolmentError)
    check_size(len(data), _MAX_BYTES, name, EnrolmentError)
    try:
        with Fields(strict_json(data), "enrolment") as fields:
            return Enrolment(
                device=fields.text("device", NAME),
                registry=fields.text("registry", longest=_LONGEST_PATH),
                models=tuple(_model(part) for part in fields.mappings("models", MAX_MODELS)),
                broker=None if fields.absent("broker") else _broker(fields),
                poll_s=fields.number("poll_s"),
            )
    except (ValueError, RecursionError) as error:
        raise EnrolmentError(f"{name}: {error}; enrol again") from None


def read_root(path: Path) -> bytes:
    """A file of root metadata; raises :class:`EnrolmentError` where there is none."""
    data = read_input(path, MAX_ROOT_BYTES, str(path), EnrolmentError)
    check_size(len(data), MAX_ROOT_BYTES, str(path), EnrolmentError)
    return data


def write_enrolment(home: Home, enrolment: Enrolment, root: Path) -> None:
    """Enrols this device, or enrols it otherwise; models that are there stay.

    What was trusted before is forgotten when the root is another one.

    Args:
        home: of the device.
        enrolment: what it is told.
        root: file of the root metadata it is to trust, got from the operator in person.

    Raises:
        EnrolmentError: the file is no root metadata.
        OSError: the folder cannot be written.
    """
    data = read_root(root)
    check_root(data, str(root))
    home.make()
    with home.updating(_LOCK_S):
        _check_links(home.path)
        if not home.root.exists() or home.root.read_bytes() != data:
            home.forget_trust()
            write_whole(home.root, data)
        write_whole(home.enrolment, json.dumps(enrolment.to_json(), indent=1).encode() + b"\n")


def _check_links(folder: Path) -> None:
    """Raises :class:`EnrolmentError` on a disk on which no update could ever be made active."""
    probe = folder / ".link"
    try:
        replace_link(probe, "nowhere")
    except PermissionError:
        raise EnrolmentError(
            f"{folder}: no symbolic link can be made here, as on a disk of FAT; name a folder on "
            "another with --home"
        ) from None
    probe.unlink()


def check_root(data: bytes, name: str) -> None:
    """Whether it is root metadata; raises :class:`EnrolmentError`."""
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    try:
        metadata: Metadata[Root] = Metadata.from_bytes(data)
        if not isinstance(metadata.signed, Root):
            raise EnrolmentError(f"{name}: metadata of {metadata.signed.type}; root's is wanted")
        metadata.signed.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
    except RepositoryError as error:
        raise EnrolmentError(f"{name}: no root metadata that signs itself ({error})") from None


def _model(part: Fields) -> EnrolledModel:
    with part:
        return EnrolledModel(part.text("model", NAME), part.text("channel", NAME))


def _broker(fields: Fields) -> EnrolledBroker:
    with fields.mapping("broker") as part:
        return EnrolledBroker(
            address=part.text("address"),
            ca=_text_or_none(part, "ca"),
            username=_text_or_none(part, "username"),
            password_file=_text_or_none(part, "password_file"),
            prefix=part.text("prefix"),
        )


def _text_or_none(part: Fields, name: str) -> str | None:
    return None if part.absent(name) else part.text(name, longest=_LONGEST_PATH)
