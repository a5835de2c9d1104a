"""A broker's door that loses messages: MQTT packet by packet, only PUBLISH is ever dropped."""

from __future__ import annotations

import contextlib
import random
import socket
import threading

from edge_client.mqtt.broker import Broker, BrokerAddress

_PUBLISH = 3
_TIMEOUT_S = 60


class DroppingProxy:
    """Takes any number of clients; each ``PUBLISH`` is lost with this probability.

    Presences come through, as they are sent once while clips are many.
    """

    def __init__(self, broker, share, seed=0):
        self._to, self._share = broker.address, share
        self._random = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.broker = Broker(BrokerAddress("127.0.0.1", self._listening.getsockname()[1]))
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets = []
        self.dropped = 0

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
        for each in self._sockets:
            each.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection((self._to.host, self._to.port), _TIMEOUT_S)
            server.settimeout(None)
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pass_on, args=(source, sink))
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, source, sink):
        with contextlib.suppress(OSError), source.makefile("rb") as stream:
            while packet := _packet(stream):
                clip_or_answer = packet[0] >> 4 == _PUBLISH and b"node/" not in packet[:100]
                if clip_or_answer and self._random.random() < self._share:
                    self.dropped += 1
                else:
                    sink.sendall(packet)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def _packet(stream):
    """One whole packet (MQTT 3.1.1, section 2.2), or nothing at the end."""
    head = stream.read(1)
    if not head:
        return b""
    length, shift = 0, 0
    while True:
        byte = stream.read(1)
        if not byte:
            return b""
        head += byte
        length |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            break
    return head + stream.read(length)
