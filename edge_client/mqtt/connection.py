"""One client of the broker, which comes back by itself.

MQTT 3.1.1 always: nothing here needs more, every broker speaks it, and the embedded one nothing
else (docs/adr/0007-cooperation.md).
"""

from __future__ import annotations

import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from edge_client.mqtt.broker import Broker, BrokerError
from edge_client.mqtt.identity import lasting_id, mistrust, trust_only
from edge_client.mqtt.messages import Arrived, Presence, Subscription, Will
from edge_client.mqtt.outbox import Outbox

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 10.0
LEAVE_TIMEOUT_S = 2.0
KEEP_ALIVE_S = 15  # a device without power is known to be gone after one and a half of them
BACK_OFF_S = (1, 30)


class Connection:
    """A client of a broker, subscribed again after every loss of it."""

    def __init__(
        self,
        broker: Broker,
        name: str,
        subscriptions: Sequence[Subscription],
        on_message: Callable[[Arrived], bool | None],
        largest: int,
        *,
        presence: Presence | None = None,
        will: Will | None = None,
        on_ready: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        on_refused: Callable[[BrokerError], None] | None = None,
        client_id: str | None = None,
        patient: bool = False,
    ) -> None:
        """Connects nothing yet; see :meth:`__enter__`.

        Args:
            broker: where, and who we are to it.
            name: beginning of the client's id, which ends at random: a broker throws out the
                first of two clients of the same id.
            subscriptions: none, for a client that only publishes.
            on_message: called on the MQTT thread, to be quick and raise nothing; where it gives
                False the broker is not told that a message of QoS 1 has arrived.
            largest: payloads of more bytes are not handed on, only counted.
            presence: published after every subscription; the last will empties it.
            will: said by the broker when we are lost, and by ourselves when we leave; in place
                of a presence.
            on_ready: called on the MQTT thread whenever the broker has our subscriptions.
            on_lost: called on the MQTT thread when the broker is lost.
            on_refused: called on the MQTT thread whenever a broker that was lost, or is waited
                for, is there and does not want us, or was never there yet; it is asked again by
                and by.
            client_id: instead of an id that ends at random one of our own, no other client's at
                the same time: the broker then keeps our subscriptions and, at QoS 1, what is said
                there while we are gone. Our password, if any, makes it one that nobody can guess.
            patient: a broker that is not there, or refuses us, is waited for from the start.

        Raises:
            BrokerError: the CA's file cannot be used.
            ValueError: a presence and a will; a client has one.
        """
        from paho.mqtt.client import MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        from edge_client.mqtt.bounded import BoundedClient

        if presence is not None and will is not None:
            raise ValueError("a client has one will: name a presence or a will")
        self.broker = broker
        self.sessions = 0  # how often the broker took us and our subscriptions
        self.too_large = 0
        self.refused = ""  # why the broker does not want us, if so
        self._subscriptions = [(each.topic, each.qos) for each in subscriptions]
        self._on_message, self._on_ready = on_message, on_ready
        self._on_lost, self._on_refused = on_lost, on_refused
        self._largest = largest
        self._presence = presence
        self._patient = patient
        self._ready = Event()
        self._client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            lasting_id(client_id, broker) if client_id else f"{name}-{secrets.token_hex(6)}",
            clean_session=client_id is None,
            protocol=MQTTv311,
            largest=largest,
            manual_ack=True,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._outbox = Outbox(self._client)
        self._client.reconnect_delay_set(*BACK_OFF_S)
        trusted = trust_only(broker)
        if trusted is not None:
            self._client.tls_set_context(trusted)
        if broker.credentials is not None:
            self._client.username_pw_set(broker.credentials.username, broker.credentials.password)
        self._parting = will  # what we say ourselves when we leave
        if will is not None:
            self._client.will_set(will.topic, will.payload, 1, retain=True)
        if presence is not None:
            self._parting = Will(presence.topic, b"")
            self._client.will_set(presence.topic, b"", retain=True)
        self._client.on_socket_open = _without_delay
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._not_connected
        self._client.on_subscribe = self._subscribed
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message

    @property
    def ready(self) -> bool:
        """Whether the broker is there and has our subscriptions."""
        return self._ready.is_set()

    def __enter__(self) -> Connection:
        """Connects; a patient client goes on at once, whether there is a broker or not.

        Raises:
            BrokerError: a name that no host can have; or, unless patient, nothing answers there
                or not in time, or it is not to be trusted, or it refuses us.
        """
        address = self.broker.address
        try:
            address.host.encode("idna")
        except UnicodeError:  # an empty or endless part between dots
            raise BrokerError(
                f"broker {str(address)[:60]!r}: no name that a host can have"
            ) from None
        if self._patient:
            self._client.connect_async(address.host, address.port, KEEP_ALIVE_S)
            self._client.loop_start()
            return self
        try:
            self._client.connect(address.host, address.port, KEEP_ALIVE_S)
        except ssl.SSLError as error:
            raise BrokerError(f"broker {address}: {mistrust(self.broker, error)}") from None
        except OSError as error:
            raise BrokerError(
                f"no broker at {address} ({error.strerror or error}); start one, or name "
                "another with --broker"
            ) from None
        self._client.loop_start()
        deadline = time.monotonic() + READY_TIMEOUT_S
        # Not only `ready`: a broker that took us may be lost before we look.
        while not self._ready.wait(0.05) and not self.sessions:
            if self.refused or time.monotonic() > deadline:
                self._stop()
                why = self.refused or f"no answer in MQTT within {READY_TIMEOUT_S:g} s"
                raise BrokerError(f"broker {address}: {why}")
        return self

    def __exit__(self, *exception: object) -> None:
        """Says the last things, where there is a broker to say them to, and leaves."""
        if self.ready:
            if self._parting is not None:
                self.publish(self._parting.topic, self._parting.payload, 1, retain=True)
            # The broker may be lost meanwhile; then the last will does it.
            self.flush(LEAVE_TIMEOUT_S)
        self._stop()

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> bool:
        """Hands a message over, from any thread.

        At QoS 0 it is lost where there is no broker. At QoS 1 it is kept, and sent until the
        broker has acknowledged it, for as long as this process lives.

        Returns:
            Whether there was a broker to hand it to (QoS 0), or room for it among the
            :data:`~edge_client.mqtt.outbox.MAX_QUEUED` that are kept (QoS 1).
        """
        if qos == 0:
            return self.ready and self._client.publish(topic, payload, retain=retain).rc == 0
        return self._outbox.post(topic, payload, qos, retain)

    @property
    def unacknowledged(self) -> int:
        """Messages of QoS 1 that the broker has not acknowledged yet."""
        return len(self._outbox)

    def flush(self, timeout_s: float) -> bool:
        """Waits; whether the broker has acknowledged all that was published at QoS 1."""
        return self._outbox.wait(timeout_s)

    def _stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refuse(f"refused ({reason})")
        elif self._subscriptions:
            client.subscribe(self._subscriptions)
        else:
            self._begin()

    def _not_connected(self, client: Any, data: Any) -> None:
        # Paho says no more than that; we are called while it handles the error.
        error = sys.exc_info()[1]
        if isinstance(error, ssl.SSLError):
            self._refuse(mistrust(self.broker, error))
        elif isinstance(error, OSError) and self._patient and not self.sessions:
            self._refuse(f"is not there ({error.strerror or error})")  # its name may be mistyped

    def _subscribed(self, client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refuse("it does not allow our subscriptions")
            if self.sessions or self._patient:
                # Else we would stay, and hear nothing; the client's own back-off begins with this.
                client.socket().shutdown(socket.SHUT_RDWR)
            return
        self._begin()

    def _begin(self) -> None:
        # Only now: whoever sees us there may count on our hearing what comes.
        if self._presence is not None:
            self._client.publish(self._presence.topic, self._presence.payload, retain=True)
        self.sessions += 1
        self.refused = ""
        self._ready.set()
        if self._on_ready is not None:
            self._on_ready()

    def _refuse(self, why: str) -> None:
        self.refused = why
        if (self.sessions or self._patient) and self._on_refused is not None:
            self._on_refused(BrokerError(f"broker {self.broker}: {why}; it is asked again"))

    def _disconnected(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._ready.clear()
        if self._on_lost is not None:
            self._on_lost()

    def _message(self, client: Any, data: Any, message: MQTTMessage) -> None:
        if self._taken(message):
            client.ack(message.mid, message.qos)

    def _taken(self, message: MQTTMessage) -> bool:
        if len(message.payload) > self._largest:
            self.too_large += 1
            return True
        try:
            topic = message.topic
        except UnicodeDecodeError:  # no topic of ours
            return True
        payload = bytes(message.payload)
        return (
            self._on_message(Arrived(topic, payload, message.retain, time.perf_counter()))
            is not False
        )


def _without_delay(client: Any, data: Any, opened: Any) -> None:
    # Nagle's algorithm would hold the end of each clip back until its beginning is acknowledged.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
