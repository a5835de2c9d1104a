"""What arrived on the MQTT thread and waits for the one that works on it."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

MOST_BYTES = 16 * 2**20

T = TypeVar("T")


class Inbox(Generic[T]):
    """A bounded queue that forgets the oldest, which matters least to whoever waits for answers."""

    def __init__(self, size: int, most_bytes: int = MOST_BYTES) -> None:
        """``size`` is the most that wait, of ``most_bytes`` in all."""
        self._size, self._most_bytes = size, most_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._filled = Condition()
        self.dropped = 0

    def put(self, item: T, size: int = 0) -> None:
        """Never waits; ``size`` is what the item takes, in bytes."""
        with self._filled:
            self._items.append((item, size))
            self._bytes += size
            while len(self._items) > self._size or self._bytes > self._most_bytes:
                self._pop()
                self.dropped += 1
            self._filled.notify()

    def get(self, timeout_s: float) -> T | None:
        """The oldest, or None when nothing came in time."""
        with self._filled:
            if not self._items:
                self._filled.wait(timeout_s)
            return self._pop() if self._items else None

    def _pop(self) -> T:
        item, size = self._items.popleft()
        self._bytes -= size
        return item
