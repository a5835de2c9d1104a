"""One client of the broker, which comes back by itself.

MQTT 3.1.1 always: nothing here needs more, every broker speaks it, and the embedded one nothing
else (docs/adr/0007-cooperation.md).
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edge_client.errors import EdgeError

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

DEFAULT_PORT = 1883
CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 10.0
LEAVE_TIMEOUT_S = 2.0
KEEP_ALIVE_S = 15  # a device without power is known to be gone after one and a half of them
BACK_OFF_S = (1, 30)

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::([0-9]{1,5}))?")


class BrokerError(EdgeError):
    """No broker there, or it does not want us."""


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker listens."""

    host: str
    port: int = DEFAULT_PORT

    @staticmethod
    def parse(text: str) -> BrokerAddress:
        """``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``; raises :class:`BrokerError`."""
        found = _BROKER.fullmatch(text)
        port = int(found[2] or DEFAULT_PORT) if found else 0
        if found is None or not 0 < port < 65536:
            raise BrokerError(f"broker {text[:60]!r}: HOST or HOST:PORT is wanted")
        return BrokerAddress(found[1].strip("[]"), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Arrived:
    """A message."""

    topic: str
    payload: bytes
    retained: bool  # said before we listened
    at: float  # of time.perf_counter


@dataclass(frozen=True)
class Presence:
    """What is retained on a topic while a client is there, and emptied when it goes."""

    topic: str
    payload: bytes


class Connection:
    """A client under an id of its own, subscribed again after every loss of the broker."""

    def __init__(
        self,
        broker: BrokerAddress,
        name: str,
        subscriptions: Sequence[str],
        on_message: Callable[[Arrived], None],
        largest: int,
        presence: Presence | None = None,
        on_lost: Callable[[], None] | None = None,
        on_refused: Callable[[BrokerError], None] | None = None,
    ) -> None:
        """Connects nothing yet; see :meth:`__enter__`.

        Args:
            broker: where.
            name: beginning of the client's id, which ends at random: a broker throws out the
                first of two clients of the same id.
            subscriptions: topic filters.
            on_message: called on the MQTT thread, to be quick and raise nothing.
            largest: payloads of more bytes are not handed on, only counted.
            presence: published after every subscription; the last will empties it.
            on_lost: called on the MQTT thread when the broker is lost.
            on_refused: called on the MQTT thread whenever a broker that was lost is there again
                and does not want us; it is asked again by and by.
        """
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        self.broker = broker
        self.sessions = 0  # how often the broker took us and our subscriptions
        self.too_large = 0
        self._subscriptions = [(topic, 0) for topic in subscriptions]
        self._on_message, self._on_lost, self._on_refused = on_message, on_lost, on_refused
        self._largest = largest
        self._presence = presence
        self._ready = Event()
        self.refused = ""  # why the broker does not want us, if so
        client_id = f"{name}-{secrets.token_hex(6)}"
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv311)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.reconnect_delay_set(*BACK_OFF_S)
        if presence is not None:
            self._client.will_set(presence.topic, b"", retain=True)
        self._client.on_socket_open = _without_delay
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message

    @property
    def ready(self) -> bool:
        """Whether the broker is there and has our subscriptions."""
        return self._ready.is_set()

    def __enter__(self) -> Connection:
        """Connects.

        Raises:
            BrokerError: nothing answers there, or not in time, or it refuses us.
        """
        try:
            self._client.connect(self.broker.host, self.broker.port, KEEP_ALIVE_S)
        except OSError as error:
            raise BrokerError(
                f"no broker at {self.broker} ({error.strerror or error}); start one, or name "
                "another with --broker"
            ) from None
        except UnicodeError:  # an empty or endless part between dots
            raise BrokerError(
                f"broker {str(self.broker)[:60]!r}: no name that a host can have"
            ) from None
        self._client.loop_start()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._ready.wait(0.05):
            if self.refused or time.monotonic() > deadline:
                self._stop()
                why = self.refused or f"no answer in MQTT within {READY_TIMEOUT_S:g} s"
                raise BrokerError(f"broker {self.broker}: {why}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Takes the presence back and leaves."""
        if self._presence is not None and self.ready:
            leaving = self._client.publish(self._presence.topic, b"", retain=True)
            # It may be lost as we ask; then the last will does it.
            with contextlib.suppress(RuntimeError, ValueError):
                leaving.wait_for_publish(LEAVE_TIMEOUT_S)
        self._stop()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hands a message over at QoS 0; whether there was a broker to hand it to."""
        return self.ready and self._client.publish(topic, payload).rc == 0

    def _stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refuse(f"refused ({reason})")
        else:
            client.subscribe(self._subscriptions)

    def _subscribed(self, client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refuse("it does not allow our subscriptions")
            if self.sessions:
                # Else we would stay, and hear nothing; the client's own back-off begins with this.
                client.socket().shutdown(socket.SHUT_RDWR)
            return
        # Only now: whoever sees us there may count on our hearing what comes.
        if self._presence is not None:
            client.publish(self._presence.topic, self._presence.payload, retain=True)
        self.sessions += 1
        self.refused = ""
        self._ready.set()

    def _refuse(self, why: str) -> None:
        self.refused = why
        if self.sessions and self._on_refused is not None:
            self._on_refused(BrokerError(f"broker {self.broker}: {why}; it is asked again"))

    def _disconnected(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._ready.clear()
        if self._on_lost is not None:
            self._on_lost()

    def _message(self, client: Any, data: Any, message: MQTTMessage) -> None:
        if len(message.payload) > self._largest:
            self.too_large += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:  # no topic of ours
            return
        self._on_message(
            Arrived(topic, bytes(message.payload), message.retain, time.perf_counter())
        )


def _without_delay(client: Any, data: Any, opened: Any) -> None:
    # Nagle's algorithm would hold the end of each clip back until its beginning is acknowledged.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
