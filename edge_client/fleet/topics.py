"""What is said where over MQTT: the registry announces below models/, devices below theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import NAME, check_name

DEFAULT_PREFIX = "ml4iot"
MAX_PREFIX = 200  # bytes

Kind = Literal["announcement", "status", "model", "usage", "alarm"]


@dataclass(frozen=True)
class Said:
    """What a topic says about its message."""

    kind: Kind
    who: str  # the device; the model of an announcement
    what: str  # the model, the quantity, or the channel of an announcement; empty for a status


class Topics:
    """The topics below one prefix."""

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        """Raises :class:`FleetError` for a prefix that makes no topics."""
        if (
            not 0 < len(prefix.encode("utf-8", "replace")) <= MAX_PREFIX
            or not (prefix.isprintable() and prefix.isascii())
            or set(prefix) & set("+#")
            or prefix.startswith("$")
            or prefix.endswith("/")
        ):
            raise FleetError(
                f"prefix {prefix[:40]!r}: plain characters without + and # that do not end in / "
                f"are wanted, such as {DEFAULT_PREFIX}"
            )
        self.prefix = prefix
        self.all_announcements = f"{prefix}/models/+/+"
        self.all_statuses = f"{prefix}/devices/+/status"
        self.all_models = f"{prefix}/devices/+/models/+"
        self.all_usage = f"{prefix}/devices/+/usage/+"
        self.all_alarms = f"{prefix}/devices/+/alarms/+"

    @property
    def all_devices(self) -> tuple[str, ...]:
        """The filters of everything devices say, for the registry."""
        return (self.all_statuses, self.all_models, self.all_usage, self.all_alarms)

    def announcement(self, model: str, channel: str) -> str:
        """Where the registry says, retained, that a channel has moved."""
        return f"{self.prefix}/models/{check_name(model, 'model')}/{check_name(channel, 'channel')}"

    def status(self, device: str) -> str:
        """Where a device is known to be there, retained: birth and last will."""
        return f"{self._of(device)}/status"

    def model(self, device: str, model: str) -> str:
        """Where a device says, retained, how far it is with a model."""
        return f"{self._of(device)}/models/{check_name(model, 'model')}"

    def usage(self, device: str, model: str) -> str:
        """Where a device says how often and how fast a model has answered."""
        return f"{self._of(device)}/usage/{check_name(model, 'model')}"

    def alarm(self, device: str, quantity: str) -> str:
        """Where a device says that a quantity is not what was predicted."""
        return f"{self._of(device)}/alarms/{check_name(quantity, 'quantity')}"

    def read(self, topic: str) -> Said | None:
        """What a topic is about; None for one that is none of these."""
        if not topic.startswith(f"{self.prefix}/"):
            return None
        parts = topic[len(self.prefix) + 1 :].split("/")
        if not all(NAME.fullmatch(part) for part in parts):
            return None
        if parts[0] == "models" and len(parts) == 3:
            return Said("announcement", parts[1], parts[2])
        if parts[0] != "devices":
            return None
        if len(parts) == 3 and parts[2] == "status":
            return Said("status", parts[1], "")
        kinds: dict[str, Kind] = {"models": "model", "usage": "usage", "alarms": "alarm"}
        if len(parts) == 4 and parts[2] in kinds:
            return Said(kinds[parts[2]], parts[1], parts[3])
        return None

    def _of(self, device: str) -> str:
        return f"{self.prefix}/devices/{check_name(device, 'device')}"
