"""What was said at QoS 1, until the broker has acknowledged it."""

from __future__ import annotations

import time
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

MAX_QUEUED = 1000  # messages that wait for a broker, or for its acknowledgement
_TICK_S = 0.02


class Outbox:
    """The messages that a client keeps and sends until they are acknowledged.

    Safe for use by several threads.
    """

    def __init__(self, client: Client) -> None:
        """Bounds what the client keeps."""
        client.max_queued_messages_set(MAX_QUEUED)
        self._client = client
        self._sent: deque[MQTTMessageInfo] = deque()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many have not been acknowledged."""
        with self._lock:
            return sum(not each.is_published() for each in self._sent)

    def post(self, topic: str, payload: bytes, qos: int, retain: bool) -> bool:
        """Whether there was room for another."""
        from paho.mqtt.client import MQTT_ERR_QUEUE_SIZE, MQTT_ERR_SUCCESS

        sent = self._client.publish(topic, payload, qos, retain)
        if sent.rc == MQTT_ERR_QUEUE_SIZE:
            return False
        sent.rc = MQTT_ERR_SUCCESS  # without a broker it waits for one, which is no failure
        with self._lock:
            # Acknowledged in the order in which they were sent (MQTT 3.1.1, section 4.6).
            while self._sent and self._sent[0].is_published():
                self._sent.popleft()
            self._sent.append(sent)
        return True

    def wait(self, timeout_s: float) -> bool:
        """Whether all that were sent until now are acknowledged in time."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            waited_for = list(self._sent)
        while not all(each.is_published() for each in waited_for):
            if time.monotonic() > deadline:
                return False
            time.sleep(_TICK_S)
        return True
