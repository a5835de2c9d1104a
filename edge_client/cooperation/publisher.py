"""Publishes clips and gives back what the nodes make of them together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from edge_client.cooperation.collector import Collector, Decision
from edge_client.cooperation.inbox import Inbox
from edge_client.cooperation.messages import (
    MAX_PREDICTION_BYTES,
    MessageError,
    NotFiniteError,
    read_prediction,
)
from edge_client.cooperation.topics import ClipIds, Topics, is_clip_id
from edge_client.mqtt.broker import Broker, BrokerError
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Arrived, Subscription
from edge_client.payload import Recording, encode_recording

SAMPLE_RATE, SAMPLES = 16_000, 16_000  # one second, as every keyword model of ours takes it
GATHER_S = 5.0  # the longest that nodes are waited for before the first clip
QUIET_S = 0.1  # without another node, after which all that are there are taken to be known
PATIENCE_S = 60.0  # with a broker that is gone
_WAITING = 10_000
_TICK_S = 0.05


@dataclass(frozen=True)
class _Lost:
    """The broker was lost."""

    at: float


class Publisher:
    """Asks the nodes of one prefix, with a few clips in flight at a time."""

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        collector: Collector,
        in_flight: int,
        nodes: int,
        payload: str = "pcm-json",
    ) -> None:
        """Connects nothing yet; see :meth:`__enter__`.

        Args:
            broker: where.
            topics: of the prefix.
            collector: decides.
            in_flight: the most clips without a final answer.
            nodes: so many are waited for before the first clip, :data:`GATHER_S` at most; 0 for
                nodes that do not announce themselves.
            payload: how clips are sent; see :func:`~edge_client.payload.encode_recording`.

        Raises:
            EdgeError: no such payload, or FLAC without soundfile.
        """
        encode_recording(Recording(np.zeros(SAMPLES, np.int16)), payload)
        self._payload = payload
        self._topics, self._collector = topics, collector
        self._in_flight, self._wanted = in_flight, nodes
        self._ids = ClipIds()
        self._inbox: Inbox[Arrived | _Lost] = Inbox(_WAITING)
        self._connection = Connection(
            broker,
            "ml4iot-ask",
            (Subscription(topics.all_predictions), Subscription(topics.all_nodes)),
            lambda said: self._inbox.put(said, len(said.payload)),
            MAX_PREDICTION_BYTES,
            on_lost=lambda: self._inbox.put(_Lost(time.perf_counter())),
        )
        self._session = 0
        self._gather_until = self._quiet_from = 0.0
        self._away_since: float | None = None

    def __enter__(self) -> Publisher:
        """Connects; raises :class:`~edge_client.mqtt.broker.BrokerError`."""
        self._connection.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.__exit__(*exception)

    @property
    def lost(self) -> int:
        """Answers dropped for their size, or because too many came at once."""
        return self._inbox.dropped + self._connection.too_large

    def ask(self, clips: Iterable[Recording]) -> Iterator[Decision]:
        """The final answer to each clip, in their order, numbered from 0.

        Raises:
            BrokerError: the broker has been gone for :data:`PATIENCE_S`.
        """
        collector = self._collector
        ready: dict[int, Decision] = {}
        source, number, due, more = iter(clips), 0, 0, True
        while more or collector.in_flight or ready:
            while more and collector.in_flight < self._in_flight and self._may_publish():
                clip = next(source, None)
                if clip is None:
                    more = False
                else:
                    self._publish(number, clip)
                    number += 1
            self._listen()
            while collector.decided:
                decision = collector.decided.popleft()
                ready[decision.number] = decision
            while due in ready:
                yield ready.pop(due)
                due += 1

    def _publish(self, number: int, clip: Recording) -> None:
        topic = self._topics.audio(self._ids.of(number))
        body = encode_recording(clip, self._payload)
        # First noted, then sent: an answer must not come before its question.
        self._collector.published(number, time.perf_counter())
        self._connection.publish(topic, body)

    def _may_publish(self) -> bool:
        """Whether the broker is there, and the nodes that are awaited, or their time is over."""
        now = time.perf_counter()
        if not self._connection.ready:
            self._away_since = self._away_since or now
            if now > self._away_since + PATIENCE_S and not self._collector.in_flight:
                why = self._connection.refused or f"gone for {PATIENCE_S:g} s; start it again"
                raise BrokerError(f"broker {self._connection.broker}: {why}")
            return False
        self._away_since = None
        if self._session != self._connection.sessions:
            self._session = self._connection.sessions
            self._gather_until, self._quiet_from = now + GATHER_S, now + QUIET_S
        if now < self._gather_until:
            if self._collector.nodes < self._wanted or now < self._quiet_from:
                return False
            self._gather_until = 0.0
        return True

    def _listen(self) -> None:
        """Takes in what came, waiting a moment where nothing has."""
        deadline = self._collector.next_deadline()
        wait = _TICK_S if deadline is None else min(_TICK_S, deadline - time.perf_counter())
        said = self._inbox.get(max(0.0, wait))
        while said is not None:
            if isinstance(said, _Lost):
                # As many as there were are to come back before anything else is asked.
                self._wanted = max(self._wanted, self._collector.nodes)
                self._collector.broker_lost(said.at)
            else:
                self._take(said)
            if self._collector.decided:
                return  # room for the next clip, which comes first
            said = self._inbox.get(0.0)
        self._collector.expire(time.perf_counter())

    def _take(self, said: Arrived) -> None:
        kind, name = self._topics.kind(said.topic)
        if kind == "node":
            if said.payload:
                self._collector.joined(name)
                self._quiet_from = said.at + QUIET_S
            else:
                self._collector.left(name, said.at)
        elif kind == "prediction" and not said.retained:
            self._take_prediction(name, said)

    def _take_prediction(self, clip: str, said: Arrived) -> None:
        counts = self._collector.counts
        number = self._ids.number(clip)
        if number is None:  # told before it is read, for there may be many
            if is_clip_id(clip):
                counts.foreign += 1
            else:
                counts.unknown += 1
            return
        try:
            prediction = read_prediction(said.payload)
        except NotFiniteError:
            counts.not_finite += 1
        except MessageError:
            counts.malformed += 1
        else:
            self._collector.answer(number, prediction, said.at)
