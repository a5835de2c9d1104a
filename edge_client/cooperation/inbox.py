"""What arrived on the MQTT thread and waits for the one that works on it."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A bounded queue that forgets the oldest, which matters least to whoever waits for answers."""

    def __init__(self, size: int) -> None:
        """``size`` is the most that wait."""
        self._size = size
        self._items: deque[T] = deque()
        self._filled = Condition()
        self.dropped = 0

    def put(self, item: T) -> None:
        """Never waits."""
        with self._filled:
            if len(self._items) == self._size:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._filled.notify()

    def get(self, timeout_s: float) -> T | None:
        """The oldest, or None when nothing came in time."""
        with self._filled:
            if not self._items:
                self._filled.wait(timeout_s)
            return self._items.popleft() if self._items else None
