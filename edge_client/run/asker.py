"""Questions wait in a short queue, and threads put them; whoever listens to audio never waits."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from edge_client.big.client import Because, BigClient, Unanswered
from edge_client.big.question import Question
from edge_client.deferral.policies import Float64

_DEPTH = 4  # questions that may wait, for each thread
# No time-out bounds what looking up a name takes, or a device with too much to do.
_GRACE_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a question."""

    ticket: int
    scores: Float64 | None  # [labels] of the big model
    because: Because | None  # why there are none
    message: str  # more of that, for a person
    tried: bool  # whether the server was turned to at all
    queued_ms: float
    asking_ms: float
    error: Exception | None = None  # that ends the run


@dataclass
class _Pending:
    question: Question
    submitted: float
    taken: float | None = None


class Asker:
    """A bounded queue in front of a few threads that share one client.

    ``submit``, ``collect``, ``give_up`` and ``close`` belong to one thread.
    """

    def __init__(self, client: BigClient, threads: int, timeout: float) -> None:
        """Starts the threads; ``timeout`` is the client's, in seconds."""
        self._client = client
        self.patience = timeout + _GRACE_S
        self._threads = threads
        self._waiting: queue.Queue[int | None] = queue.Queue(_DEPTH * threads)
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self._tickets = 0
        for _ in range(threads):
            threading.Thread(target=self._work, name="asker", daemon=True).start()

    @property
    def pending(self) -> int:
        """How many questions have no outcome yet."""
        return len(self._pending)

    def submit(self, question: Question) -> int | None:
        """Queues a question without waiting; its ticket, or None when the queue is full."""
        ticket = self._tickets
        with self._lock:
            self._pending[ticket] = _Pending(question, time.monotonic())
        try:
            self._waiting.put_nowait(ticket)
        except queue.Full:
            with self._lock:
                del self._pending[ticket]
            return None
        self._tickets += 1
        return ticket

    def collect(self, seconds: float = 0.0) -> list[Outcome]:
        """The outcomes there are, after waiting for the first so long at most."""
        outcomes = []
        try:
            outcomes.append(self._done.get(timeout=seconds) if seconds else self._done.get_nowait())
            while True:
                outcomes.append(self._done.get_nowait())
        except queue.Empty:
            pass
        # What comes after it was given up on is nobody's, but for a fault.
        known = [o for o in outcomes if o.error is not None or o.ticket in self._pending]
        for outcome in known:
            with self._lock:
                self._pending.pop(outcome.ticket, None)
        return known + self._overdue()

    def give_up(self) -> list[Outcome]:
        """Outcomes for all that are still pending: none has an answer."""
        now = time.monotonic()
        return [self._unanswered(ticket, now, "given up") for ticket in list(self._pending)]

    def close(self) -> None:
        """Ends the threads, each after the question it is at; what waits is not asked."""
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
        for _ in range(self._threads):
            self._waiting.put(None)  # there is room: it holds more than one for each thread

    def _overdue(self) -> list[Outcome]:
        now, late = time.monotonic(), []
        for ticket, pending in list(self._pending.items()):
            since = pending.taken
            if since is None:
                # Threads that hang take nothing from the queue either.
                overdue = now - pending.submitted > (_DEPTH + 1) * self.patience
            else:
                overdue = now - since > self.patience
            if overdue:
                self._client.overdue()
                late.append(self._unanswered(ticket, now, "no answer in time"))
        return late

    def _unanswered(self, ticket: int, now: float, message: str) -> Outcome:
        with self._lock:
            pending = self._pending.pop(ticket)
        taken = now if pending.taken is None else pending.taken
        queued, asking = 1e3 * (taken - pending.submitted), 1e3 * (now - taken)
        tried = pending.taken is not None
        return Outcome(ticket, None, Because.UNREACHABLE, message, tried, queued, asking)

    def _work(self) -> None:
        while True:
            ticket = self._waiting.get()
            if ticket is None:
                return
            with self._lock:
                pending = self._pending.get(ticket)
            if pending is None:
                continue
            pending.taken = began = time.monotonic()
            scores: Float64 | None = None
            because, message, tried, error = None, "", True, None
            try:
                scores = self._client.ask(pending.question)
            except Unanswered as unanswered:
                because, message, tried = unanswered.because, str(unanswered), unanswered.tried
            except Exception as fault:  # whatever it is, the thread that prints must learn of it
                because, error = Because.UNREACHABLE, fault
            queued, asking = 1e3 * (began - pending.submitted), 1e3 * (time.monotonic() - began)
            self._done.put(Outcome(ticket, scores, because, message, tried, queued, asking, error))
