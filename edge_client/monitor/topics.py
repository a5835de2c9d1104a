"""Where a monitoring says what: alarms, readings, and that it is there."""

from __future__ import annotations

from dataclasses import dataclass

from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import check_name
from edge_client.fleet.topics import Topics

MAX_TOPIC = 300  # bytes


@dataclass(frozen=True)
class MonitorTopics:
    """The topics of one device, as :class:`~edge_client.fleet.topics.Topics` has them or as told.

    ``{device}`` and ``{quantity}`` in a topic of one's own stand for their names.
    """

    fleet: Topics
    device: str
    alarms: str = ""  # empty: the fleet's
    readings: str = ""

    def __post_init__(self) -> None:
        check_name(self.device, "device")
        for what, topic in (("alarms", self.alarms), ("readings", self.readings)):
            if topic:
                check_topic(self._named(topic, "temperature"), f"topic of {what}")

    def alarm(self, quantity: str) -> str:
        """Of the alarms of a quantity."""
        if self.alarms:
            return self._named(self.alarms, quantity)
        return self.fleet.alarm(self.device, quantity)

    @property
    def reading(self) -> str:
        """Of all samples."""
        if self.readings:
            return self._named(self.readings, "")
        return f"{self._own}/readings"

    @property
    def presence(self) -> str:
        """Retained: ``online`` while the monitoring runs, else ``offline``."""
        return f"{self._own}/monitor"

    @property
    def _own(self) -> str:
        # Below what a broker lets the device write.
        return self.fleet.status(self.device).removesuffix("/status")

    def _named(self, topic: str, quantity: str) -> str:
        return topic.replace("{device}", self.device).replace("{quantity}", quantity)


def check_topic(topic: str, what: str, wildcards: bool = False) -> str:
    """The same topic; raises :class:`FleetError` for one that MQTT does not allow.

    Args:
        topic: from outside.
        what: what error messages call it.
        wildcards: whether it is a filter, with ``+`` for a level and ``#`` for all the rest.
    """
    levels = topic.split("/")
    legal = 0 < len(topic.encode("utf-8", "replace")) <= MAX_TOPIC and topic.isprintable()
    if wildcards:
        legal &= all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
        legal &= "#" not in levels[:-1]
    else:
        legal &= not set(topic) & set("+#") and not topic.startswith("$")
    if not legal:
        raise FleetError(
            f"{what} {topic[:40]!r}: 1 to {MAX_TOPIC} printable characters"
            + ("" if wildcards else " without + and #")
            + " that make an MQTT topic are wanted"
        )
    return topic
