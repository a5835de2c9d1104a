"""Answers every clip on the broker with one model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from edge_client.cooperation.inbox import Inbox
from edge_client.cooperation.messages import write_prediction, write_presence
from edge_client.cooperation.topics import MAX_CLIP_ID, Topics
from edge_client.cooperation.views import hear
from edge_client.errors import EdgeError
from edge_client.mqtt.broker import Broker
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Arrived, Presence, Subscription
from edge_client.payload import PayloadError, Recording, decode
from edge_client.predictor import AudioPredictor
from edge_client.senml import parse

# Sixteen seconds of 16-bit PCM at 16 kHz in base64 are 0.7 MB.
MAX_AUDIO_BYTES = 2**20
_TICK_S = 0.2  # how soon it is known that the node is to leave


@dataclass
class NodeCounts:
    """What became of the clips a node heard of."""

    answered: int = 0
    malformed: int = 0  # refused: no SenML, no audio in it, samples that are no numbers
    too_large: int = 0
    dropped: int = 0  # forgotten while others were answered
    unsent: int = 0  # answered while there was no broker

    def __str__(self) -> str:
        return (
            f"{self.answered} clips answered, {self.malformed} malformed, {self.too_large} too "
            f"large, {self.dropped} dropped in the queue, {self.unsent} answers without a broker"
        )


class Node:
    """One model, one thread for MQTT and the caller's for inference."""

    def __init__(
        self,
        predictor: AudioPredictor,
        model: str,
        node: str,
        broker: Broker,
        topics: Topics,
        queue: int,
    ) -> None:
        """Connects nothing yet; see :meth:`run`.

        Args:
            predictor: the model.
            model: its name and version, as answers say it.
            node: the node's id.
            broker: where.
            topics: of the prefix.
            queue: the most clips that wait; the oldest is dropped for another.

        Raises:
            EdgeError: a label that no message can carry.
        """
        self.node, self.topics = node, topics
        self._predictor, self._model = predictor, model
        write_prediction(node, model, predictor.labels, [0.0] * len(predictor.labels), time.time())
        self._counts = NodeCounts()
        self._inbox: Inbox[Arrived] = Inbox(queue)
        self._connection = Connection(
            broker,
            f"ml4iot-{node}",
            (Subscription(topics.all_audio),),
            self._inbox.put,
            MAX_AUDIO_BYTES,
            presence=Presence(topics.node(node), write_presence(node, model, time.time())),
            on_refused=lambda error: self._on_refused(error),
        )
        self._on_refused: Callable[[EdgeError], None] = lambda _: None

    @property
    def counts(self) -> NodeCounts:
        """Until now."""
        self._counts.dropped = self._inbox.dropped
        self._counts.too_large = self._connection.too_large
        return self._counts

    def run(
        self,
        stop: Event,
        on_ready: Callable[[], None] = lambda: None,
        on_refused: Callable[[EdgeError], None] = lambda _: None,
    ) -> None:
        """Answers until ``stop`` is set, through whatever happens to the broker.

        Args:
            stop: set from another thread or by a signal.
            on_ready: called once, when clips are heard.
            on_refused: called with the reason for every clip that is not answered, and whenever
                the broker, once lost, does not want us back.

        Raises:
            BrokerError: there is no broker to begin with.
        """
        self._on_refused = on_refused
        with self._connection:
            on_ready()
            while not stop.is_set():
                said = self._inbox.get(_TICK_S)
                if said is None:
                    continue
                try:
                    self._answer(said)
                except EdgeError as error:
                    self._counts.malformed += 1
                    on_refused(error)

    def _answer(self, said: Arrived) -> None:
        kind, clip = self.topics.kind(said.topic)
        # What is retained was asked before this node was there, and is waited for by nobody.
        if kind != "audio" or said.retained:
            return
        if len(clip) > MAX_CLIP_ID:
            raise PayloadError(
                f"clip {clip[:20]!r}...: an id of more than {MAX_CLIP_ID} characters"
            )
        try:
            pack = parse(said.payload)
            content = decode(pack, self._predictor.input.samples)
        except EdgeError as error:
            raise PayloadError(f"clip {clip}: {error}") from None
        if not isinstance(content, Recording):
            raise PayloadError(f"clip {clip}: features, where audio is wanted")
        scores = hear(self._predictor, content.audio, content.rate).tolist()
        labels, now = self._predictor.labels, time.time()
        # In the form of the question, which whoever asked can read.
        body = write_prediction(self.node, self._model, labels, scores, now, pack.form)
        if self._connection.publish(self.topics.prediction(clip), body):
            self._counts.answered += 1
        else:
            self._counts.unsent += 1
