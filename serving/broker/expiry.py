"""When the certificates of the operator's broker end, and that it is said in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from serving.broker.authority import validity
from serving.broker.folder import CA, SERVER, BrokerFolder
from serving.options import UsageError

WARN_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class _Certificate:
    name: str
    begins: datetime
    ends: datetime
    remedy: str


def check_valid(folder: BrokerFolder) -> None:
    """Raises `UsageError` where no client would take a certificate today."""
    now = datetime.now(timezone.utc)
    for each in _certificates(folder):
        if now >= each.ends:
            raise UsageError(
                f"{folder.path / each.name}: expired on {each.ends:%Y-%m-%d}; {each.remedy}"
            )
        if now < each.begins:
            raise UsageError(
                f"{folder.path / each.name}: is good from {each.begins:%Y-%m-%d} on, and by this "
                f"machine's clock it is {now:%Y-%m-%d}; set the clock"
            )


def expiring(folder: BrokerFolder) -> list[str]:
    """A line for each certificate that has less than :data:`WARN_BEFORE` left."""
    now = datetime.now(timezone.utc)
    return [
        f"{folder.path / each.name}: expires on {each.ends:%Y-%m-%d}, and then no client comes in; "
        f"{each.remedy}"
        for each in _certificates(folder)
        if each.ends - now < WARN_BEFORE
    ]


def _certificates(folder: BrokerFolder) -> Iterator[_Certificate]:
    remedies = {
        SERVER: f"make another with ml4iot-broker renew {folder.path}",
        CA: "make another folder with ml4iot-broker init, and give its ca.crt to all clients",
    }
    for name, remedy in remedies.items():
        path = folder.path / name
        try:
            begins, ends = validity(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{path}: holds no certificate; {remedy}") from error
        yield _Certificate(name, begins, ends, remedy)
