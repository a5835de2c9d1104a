"""What the registry says over MQTT of a channel that has moved: a hint, which nobody believes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edge_client.fields import Fields, strict_json
from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import NAME

MAX_ANNOUNCEMENT_BYTES = 4096
MAX_SERIAL = 2**63


class AnnouncementError(FleetError):
    """A message that announces nothing."""


@dataclass(frozen=True)
class Announcement:
    """What one channel offers to all."""

    version: str | None  # None: nothing
    serial: int  # of what the channels offer
    # Devices look at random moments within so many seconds, lest a large fleet asks all at once.
    spread_s: float = 0.0

    def serialise(self) -> bytes:
        """The message."""
        said = {"version": self.version, "serial": self.serial}
        return json.dumps(said | ({"spread_s": self.spread_s} if self.spread_s else {})).encode()

    @classmethod
    def parse(cls, data: bytes) -> Announcement:
        """Reads such a message, whatever else it says beside; raises :class:`AnnouncementError`."""
        if len(data) > MAX_ANNOUNCEMENT_BYTES:
            raise AnnouncementError(
                f"announcement: larger than the {MAX_ANNOUNCEMENT_BYTES} bytes that are taken"
            )
        try:
            fields = Fields(strict_json(data), "announcement")
            return cls(
                version=None if fields.absent("version") else fields.text("version", NAME),
                serial=fields.whole("serial", 0, MAX_SERIAL),
                spread_s=0.0 if fields.missing("spread_s") else fields.number("spread_s", least=0),
            )
        except (ValueError, RecursionError) as error:
            raise AnnouncementError(str(error)) from None
