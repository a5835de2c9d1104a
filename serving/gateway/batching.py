"""Gathers questions while the model is busy, and asks about many of them in one call.

A question that finds the model idle is asked at once; there is no waiting for company. While as
many calls as allowed are on their way, questions gather, and the next call takes the oldest of
them and what came after it of the same kind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from serving.gateway.admission import Question
from serving.gateway.errors import BusyError, GatewayError, MalformedError, TooSlowError
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.request_log import log
from serving.gateway.tensorflow_serving import AUDIO, FEATURES, Answer

MAX_RETRY_AFTER_S = 60.0
_PATIENCE = 0.5  # share of the timeout that those in front may take
_HALF_LIFE_S = 1.0  # of what is remembered of the rate

Ask = Callable[[str | None, Sequence[bytes]], Awaitable[list[Answer]]]


@dataclass(eq=False, frozen=True)
class _Waiting:
    """One question and where its answer goes."""

    data: bytes
    since: float  # by the loop's clock
    deadline: float
    answer: asyncio.Future[Answer]


@dataclass(frozen=True)
class Limits:
    """How much at once.

    Attributes:
        max_batch: questions in one call.
        in_flight: calls at the same time.
        queue: questions that wait for a call.
        timeout_s: what a question may take in all.
    """

    max_batch: int
    in_flight: int
    queue: int
    timeout_s: float


class Batcher:
    """Puts questions to `ask` in batches; for use within one event loop."""

    def __init__(self, ask: Ask, limits: Limits, metrics: GatewayMetrics) -> None:
        self._ask = ask
        self._limits = limits
        self._metrics = metrics
        # Questions by kind, oldest first; a dict for what leaves from the middle.
        self._queues: dict[str | None, dict[_Waiting, None]] = {}
        self._waiting = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._asking = 0  # questions in these calls
        self._rate = _Rate()
        self._last_answer = 0.0  # by the loop's clock
        self._closed = False
        metrics.waiting.set_function(lambda: self._waiting)

    def check_room(self) -> None:
        """Raises `BusyError` when a question would not get its turn in time; it says when to come.

        Either as many wait as may, or more than the next call takes, and by the rate measured they
        will need much of the time that a question has. What the next call takes is let in whatever
        the rate, for otherwise a rate once found low would never be found better.
        """
        clear_s = self._clear_s()
        limits = self._limits
        late = clear_s > _PATIENCE * limits.timeout_s and self._waiting >= limits.max_batch
        if late or self._waiting >= limits.queue:
            raise BusyError("too many requests are waiting; try again later", clear_s)

    def put(self, question: Question, since: float | None = None) -> asyncio.Future[Answer]:
        """The answer to come; who is no longer interested cancels it.

        Its time runs from `since`, by the loop's clock, or from now. It raises `BusyError` when the
        time is up and others were answered meanwhile, `TooSlowError` when nobody was,
        `MalformedError` when the model refuses this very question, and whatever `GatewayError` the
        call fails with.

        Raises:
            BusyError: as `check_room`.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        timeout_s = self._limits.timeout_s
        future: asyncio.Future[Answer] = loop.create_future()
        since = loop.time() if since is None else since
        waiting = _Waiting(question.data, since, since + timeout_s, future)
        queue = self._queues.setdefault(question.specification, {})
        queue[waiting] = None
        self._waiting += 1
        alarm = loop.call_at(waiting.deadline, self._time_is_up, waiting)

        def done(_: asyncio.Future[Answer]) -> None:
            alarm.cancel()
            if waiting in queue:  # given up before its turn
                del queue[waiting]
                self._waiting -= 1
                if not queue:
                    self._queues.pop(question.specification)

        future.add_done_callback(done)
        # Not at once: what arrives in the same turn of the loop goes into the same call.
        loop.call_soon(self._start_calls)
        return future

    async def close(self) -> None:
        """Ends the calls that are on their way, and begins no other."""
        self._closed = True
        for call in tuple(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _start_calls(self) -> None:
        while self._waiting and not self._closed and len(self._calls) < self._limits.in_flight:
            kinds = [kind for kind, queue in self._queues.items() if queue]
            oldest = min(kinds, key=lambda kind: next(iter(self._queues[kind])).deadline)
            queue = self._queues[oldest]
            batch = [each for each, _ in zip(queue, range(self._limits.max_batch), strict=False)]
            for each in batch:
                del queue[each]
            if not queue:
                del self._queues[oldest]
            self._waiting -= len(batch)
            self._asking += len(batch)
            call = asyncio.get_running_loop().create_task(self._call(oldest, batch))
            self._calls.add(call)
            call.add_done_callback(partial(self._ended, len(batch)))

    def _ended(self, size: int, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._asking -= size
        self._rate.ended(size, backlog=self._waiting > 0)
        self._start_calls()

    async def _call(self, kind: str | None, batch: list[_Waiting]) -> None:
        try:
            answers = await self._timed(kind, batch)
        except MalformedError as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # One of them is to blame; the others shall not suffer for it.
            for each in batch:
                if not each.answer.done():
                    await self._call(kind, [each])
        except asyncio.TimeoutError:
            for each in batch:
                self._time_is_up(each)
        except GatewayError as error:
            _fail(batch, error)
        except Exception:
            log.exception("a call to the backend failed")
            _fail(batch, GatewayError("internal error; the gateway's log has the details"))
        else:
            for each, answer in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)

    async def _timed(self, kind: str | None, batch: list[_Waiting]) -> list[Answer]:
        """One call, given up when nobody can be waiting for it any more."""
        patience = max(each.deadline for each in batch) - asyncio.get_running_loop().time()
        began = time.perf_counter()  # uvloop's own clock counts in milliseconds
        outcome = "500"
        try:
            answers = await asyncio.wait_for(
                self._ask(kind, [each.data for each in batch]), patience
            )
            outcome = "200"
            self._last_answer = asyncio.get_running_loop().time()
        except asyncio.TimeoutError:
            outcome = str(TooSlowError.status)
            raise
        except GatewayError as error:
            outcome = str(error.status)
            raise
        finally:
            seconds = time.perf_counter() - began
            signature = AUDIO if kind is None else FEATURES
            self._metrics.called(signature, len(batch), outcome, seconds)
        return answers

    def _time_is_up(self, waiting: _Waiting) -> None:
        if self._last_answer > waiting.since:
            # The model does answer: only there are more questions than it has time for.
            error: GatewayError = BusyError("no turn in time; try again later", self._clear_s())
        else:
            error = TooSlowError("the model takes too long to answer")
        _fail((waiting,), error)

    def _clear_s(self) -> float:
        """In how many seconds those who are here now will have been answered."""
        return min((self._waiting + self._asking) * self._rate.seconds_each, MAX_RETRY_AFTER_S)


class _Rate:
    """How long a question takes while others wait, by the clock on the wall.

    Not by the duration of calls: the gateway's own work between them takes time as well, most of
    all where processors are scarce.
    """

    def __init__(self) -> None:
        self._questions = self._seconds = 0.0  # sums that fade away
        self._last = 0.0  # when a call ended and others waited; 0: nobody waited

    @property
    def seconds_each(self) -> float:
        """0 while nothing is known."""
        return self._seconds / self._questions if self._questions else 0.0

    def ended(self, size: int, backlog: bool) -> None:
        """A call with so many questions ended just now; whether others wait for the next."""
        now = time.perf_counter()
        if self._last:
            seconds = now - self._last
            kept = 0.5 ** (seconds / _HALF_LIFE_S)
            self._questions = kept * self._questions + size
            self._seconds = kept * self._seconds + seconds
        self._last = now if backlog else 0.0


def _fail(batch: Iterable[_Waiting], error: GatewayError) -> None:
    for each in batch:
        if not each.answer.done():
            each.answer.set_exception(error)
