"""Nodes, publishers and strangers on a broker, all ended when the room is left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_client.bundle import read_bundle
from edge_client.cooperation.collector import Collector
from edge_client.cooperation.node import Node
from edge_client.cooperation.publisher import Publisher
from edge_client.cooperation.topics import Topics
from edge_client.payload import Recording
from edge_client.predictor import AudioPredictor
from tests.edge_client.tiny import EXAMPLES, LABELS

LIMIT_S = 60
CLIPS = [EXAMPLES[label] for label in LABELS]


def recordings(number):
    """So many clips in turn, and what they should be heard as."""
    for index in range(number):
        yield Recording(CLIPS[index % len(CLIPS)])


def expected(number):
    return [LABELS[index % len(LABELS)] for index in range(number)]


class RunningNode:
    """A node in a thread of its own."""

    def __init__(self, room, name, queue=64, broker=None):
        self.node = Node(
            room.predictor(), "tones:7", name, broker or room.broker, room.topics, queue
        )
        self.refused = []
        self._stop, ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(
            target=self.node.run, args=(self._stop, ready.set, self.refused.append)
        )
        self._thread.start()
        assert ready.wait(LIMIT_S)

    @property
    def counts(self):
        return self.node.counts

    def stop(self):
        self._stop.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()


class Stranger:
    """A client that speaks plain MQTT, as a course client does."""

    def __init__(self, broker):
        self.heard = []
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._note
        self._client.connect(broker.address.host, broker.address.port)
        self._client.loop_start()
        self._answer = None

    def listen(self, topic, answer=None):
        """Notes what comes on a topic; ``answer(topic, payload)`` gives what to publish then."""
        self._answer = answer
        self._subscribed.clear()
        self._client.subscribe(topic)
        assert self._subscribed.wait(LIMIT_S)
        return self

    def say(self, topic, payload, retain=False):
        self._client.publish(topic, payload, retain=retain)

    def _note(self, client, data, message):
        self.heard.append((message.topic, message.payload))
        for topic, payload in self._answer(message.topic, message.payload) if self._answer else ():
            client.publish(topic, payload)

    def stop(self):
        self._client.disconnect()
        self._client.loop_stop()


class Room:
    """One prefix on one broker."""

    def __init__(self, broker, prefix, bundle):
        self.broker, self.topics, self.bundle = broker, Topics(prefix), bundle
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def predictor(self):
        return AudioPredictor(read_bundle(self.bundle))

    def node(self, name, **options):
        made = RunningNode(self, name, **options)
        self._stack.callback(made.stop)
        return made

    def stranger(self):
        made = Stranger(self.broker)
        self._stack.callback(made.stop)
        return made

    def collector(self, wait=10.0, rule="sum", ensemble=None):
        return Collector(wait, rule, ensemble)

    def publisher(self, collector, nodes=1, in_flight=4, payload="pcm-json"):
        made = Publisher(self.broker, self.topics, collector, in_flight, nodes, payload)
        return self._stack.enter_context(made)

    def ask(self, number, nodes=1, in_flight=4, payload="pcm-json", **options):
        """The decisions on so many clips, and the counts."""
        collector = self.collector(**options)
        publisher = self.publisher(collector, nodes, in_flight, payload)
        decisions = list(publisher.ask(recordings(number)))
        assert [decision.number for decision in decisions] == list(range(number))
        return decisions, collector.counts

    def command(self, role, *arguments):
        """``ml4iot-edge cooperate …`` as a process."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "edge_client", "cooperate", role, *map(str, arguments)),
                *("--broker", str(self.broker), "--prefix", self.topics.prefix),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._stack.callback(self._end, process)
        return process

    def _end(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=LIMIT_S)
