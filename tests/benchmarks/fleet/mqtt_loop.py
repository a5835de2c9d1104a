"""Many MQTT connections on one thread, where a device has a thread for its only one."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from edge_client.mqtt.broker import Broker
from edge_client.mqtt.connection import BACK_OFF_S, KEEP_ALIVE_S, Connection
from edge_client.mqtt.messages import Arrived, Subscription, Will

_MISC_S = 1.0  # between two looks at keep-alives


class MqttLoop:
    """Waits for sockets, and for what other threads hand over; :meth:`step` does one round."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._heard, self._bell = socket.socketpair()
        for end in (self._heard, self._bell):
            end.setblocking(False)
        self._selector.register(self._heard, selectors.EVENT_READ, self._hear_bell)
        self._posted: deque[Callable[[], None]] = deque()
        self._connections: list[DrivenConnection] = []
        self._misc_due = 0.0

    def post(self, task: Callable[[], None]) -> None:
        """Has something done on the loop's thread; from any thread."""
        self._posted.append(task)
        with contextlib.suppress(BlockingIOError):  # it rings already
            self._bell.send(b"!")

    def watch(self, readable: Any, ready: Callable[[], None]) -> None:
        """Calls ``ready`` whenever there is something to read."""
        self._selector.register(readable, selectors.EVENT_READ, lambda events: ready())

    def add(self, connection: DrivenConnection) -> None:
        """Connects it, now or when the broker is there."""
        self._connections.append(connection)
        connection.connect()

    def step(self, longest_s: float) -> None:
        """Waits at most so long for something to do, and does it."""
        longest = 0.0 if self._posted else max(0.0, min(longest_s, _MISC_S))
        for key, events in self._selector.select(longest):
            key.data(events)
        for _ in range(len(self._posted)):
            self._posted.popleft()()
        if time.monotonic() >= self._misc_due:
            self._misc_due = time.monotonic() + _MISC_S
            for connection in self._connections:
                connection.look_after()

    def close(self) -> None:
        """Closes what belongs to the loop."""
        self._selector.close()
        self._heard.close()
        self._bell.close()

    def opened(self, opened: Any, ready: Callable[[int], None]) -> None:
        """A socket to wait for."""
        self._selector.register(opened, selectors.EVENT_READ, ready)

    def closed(self, closing: Any) -> None:
        """A socket not to wait for any more."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(closing)

    def writes(self, connected: Any, wanted: bool) -> None:
        """Whether something is to be written to a socket; from any thread."""

        def change() -> None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            # It may be closed, or not registered, by now.
            with contextlib.suppress(KeyError, ValueError):
                key = self._selector.get_key(connected)
                if key.events != events:
                    self._selector.modify(connected, events, key.data)

        self.post(change)

    def _hear_bell(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(4096)


class DrivenConnection(Connection):
    """A device's own connection, but for the thread, which the loop's stands in for."""

    def __init__(
        self,
        loop: MqttLoop,
        broker: Broker,
        subscriptions: Sequence[Subscription],
        on_message: Callable[[Arrived], None],
        largest: int,
        will: Will,
        on_ready: Callable[[], None],
        client_id: str,
    ) -> None:
        super().__init__(
            broker,
            "",
            subscriptions,
            on_message,
            largest,
            will=will,
            on_ready=on_ready,
            client_id=client_id,
            patient=True,
        )
        self._loop = loop
        self._again_at, self._pause = 0.0, float(BACK_OFF_S[0])
        self._leaving = False
        client = self._client
        client.on_socket_open = self._socket_opened
        client.on_socket_close = lambda client, data, closing: loop.closed(closing)
        client.on_socket_register_write = lambda client, data, own: loop.writes(own, True)
        client.on_socket_unregister_write = lambda client, data, own: loop.writes(own, False)

    def connect(self) -> None:
        """Tries to reach the broker; :meth:`look_after` tries again where that fails."""
        self._again_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, float(BACK_OFF_S[1]))
        address = self.broker.address
        with contextlib.suppress(OSError):
            self._client.connect(address.host, address.port, KEEP_ALIVE_S)

    def look_after(self) -> None:
        """To be called every second."""
        self._client.loop_misc()
        if self.ready:
            self._pause = float(BACK_OFF_S[0])
            return
        lost = self._client.socket() is None and not self._leaving
        if lost and time.monotonic() >= self._again_at:
            self.connect()

    def leave(self) -> None:
        """Says good-bye to the broker, which is connected to no more."""
        self._leaving = True
        self._client.disconnect()

    def _socket_opened(self, client: Any, data: Any, opened: Any) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ready(events: int) -> None:
            if events & selectors.EVENT_READ:
                client.loop_read()
                while client.socket() is opened and getattr(opened, "pending", int)():
                    client.loop_read()  # what TLS has taken in already, no selector tells
            if events & selectors.EVENT_WRITE and client.socket() is opened:
                client.loop_write()

        self._loop.opened(opened, ready)
