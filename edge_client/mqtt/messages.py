"""What is listened to, what arrives, and what a broker says of a client that goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subscription:
    """A topic filter, and how surely what is said there is to arrive (QoS 0 or 1)."""

    topic: str
    qos: int = 0


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


@dataclass(frozen=True)
class Will:
    """What is said of a client that goes, whether or not it takes leave: retained, QoS 1."""

    topic: str
    payload: bytes
