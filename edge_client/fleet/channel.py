"""What a channel offers: one version to all, or another one to the devices of a rollout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_client.fields import FieldError, Fields, strict_json
from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import NAME

MAX_CHANNEL_BYTES = 2**20
MAX_ROLLOUT_DEVICES = 10_000


class ChannelError(FleetError):
    """A document that says of no channel what it offers."""


@dataclass(frozen=True)
class Rollout:
    """A version that only some devices are to have as yet."""

    id: str
    version: str
    devices: tuple[str, ...]  # by name
    share: float  # of all the others, from 0 to 1

    def includes(self, device: str) -> bool:
        """Whether this device is among them."""
        return device in self.devices or fraction(device, self.id) < self.share


@dataclass(frozen=True)
class ChannelState:
    """What one channel of one model offers."""

    model: str
    channel: str
    version: str | None  # None: nothing
    rollout: Rollout | None

    def version_for(self, device: str) -> str | None:
        """The version this device is to have; None for none."""
        if self.rollout is not None and self.rollout.includes(device):
            return self.rollout.version
        return self.version

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :meth:`parse` reads their text back."""
        rollout: Mapping[str, Any] | None = None
        if self.rollout is not None:
            rollout = {
                "id": self.rollout.id,
                "version": self.rollout.version,
                "devices": list(self.rollout.devices),
                "share": self.rollout.share,
            }
        return {
            "model": self.model,
            "channel": self.channel,
            "version": self.version,
            "rollout": rollout,
        }

    def serialise(self) -> bytes:
        """The document, the same bytes for the same state."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes) -> ChannelState:
        """Reads such a document.

        Raises:
            ChannelError: it is none, or larger than 1 MiB.
        """
        if len(data) > MAX_CHANNEL_BYTES:
            raise ChannelError(f"channel: larger than the {MAX_CHANNEL_BYTES} bytes that are taken")
        try:
            with Fields(strict_json(data), "channel") as fields:
                return cls(
                    model=fields.text("model", NAME),
                    channel=fields.text("channel", NAME),
                    version=None if fields.absent("version") else fields.text("version", NAME),
                    rollout=None if fields.absent("rollout") else _rollout(fields),
                )
        except (ValueError, RecursionError) as error:
            raise ChannelError(str(error)) from None


def fraction(device: str, rollout_id: str) -> float:
    """Where in [0, 1) a device stands in a rollout: another order for every rollout."""
    digest = hashlib.sha256(f"{rollout_id}:{device}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _rollout(fields: Fields) -> Rollout:
    with fields.mapping("rollout") as part:
        devices = part.texts("devices", 0, MAX_ROLLOUT_DEVICES)
        wrong = next((device for device in devices if not NAME.fullmatch(device)), None)
        if wrong is not None:
            raise FieldError(f"channel.rollout.devices: {wrong[:40]!r} is no device's name")
        share = part.number("share", least=0)
        if share > 1:
            raise FieldError(f"channel.rollout.share: {share:g} where 0 to 1 is wanted")
        return Rollout(part.text("id", NAME), part.text("version", NAME), devices, share)
