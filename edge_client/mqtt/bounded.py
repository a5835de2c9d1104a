"""Paho's client with a bound on what it gathers of a message.

A packet of MQTT may have 256 MiB, and Paho gathers all of it, several times over, before it says
how large it is: anybody who may speak on a topic we listen to could take the memory of a device,
and again after each start where the message is retained.
"""

from __future__ import annotations

from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

_PIECE_BYTES = 2**14  # Paho asks for up to a hundred pieces at once
_LARGEST_HEAD = 2 + 65_535 + 2  # bytes of the longest topic, its length and an identifier


class BoundedClient(Client):
    """Keeps the beginning of what is too large: enough to acknowledge it, and to see that it is."""

    def __init__(self, *arguments: Any, largest: int, **more: Any) -> None:
        """As Paho's; ``largest`` are the bytes of payload that arrive whole."""
        super().__init__(*arguments, **more)
        self._kept = _LARGEST_HEAD + largest + 1

    def _sock_recv(self, bufsize: int) -> bytes:
        return super()._sock_recv(min(bufsize, _PIECE_BYTES))

    def _packet_read(self) -> MQTTErrorCode:
        result = super()._packet_read()
        del self._in_packet["packet"][self._kept :]
        return result
