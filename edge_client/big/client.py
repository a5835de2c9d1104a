"""Asks the big model, within a time, a budget and the server's patience."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from edge_client.big.answer import AnswerError, parse_answer, parse_json, said
from edge_client.big.breaker import Breaker
from edge_client.big.connection import Connection, ExchangeError, Reply
from edge_client.big.description import DescriptionError, Offer
from edge_client.big.question import Encoder, Question
from edge_client.budget import HourlyBudget
from edge_client.deferral.policies import Float64
from edge_client.errors import EdgeError
from edge_client.payload import content_type

DESCRIPTION = "/v1/description"
CLASSIFY = "/v1/classify"
SLOW_MODEL = "/slow_model"

_PAUSE_S = (0.05, 0.2)  # before the second try: at random, or all devices would come back at once
_LONGEST_PATIENCE_S = 600.0  # however long the server asks to be left alone
_LEAST_S = 0.001  # a time-out of nothing is no time-out
_AGAIN = frozenset({429, 500, 502, 503, 504})  # what may be over in a moment


class Because(str, Enum):
    """Why a question has no answer."""

    UNREACHABLE = "unreachable"  # dead, slow, broken, talking nonsense, or given up on for a while
    BUDGET = "budget"  # this hour's bytes or requests are used up
    BUSY = "busy"  # the server, or this device's own queue, has no room


class Unanswered(EdgeError):
    """A question without an answer: the small model's stands."""

    def __init__(
        self, because: Because, message: str, again: bool = False, tried: bool = True
    ) -> None:
        """Raised by :meth:`BigClient.ask`.

        Args:
            because: of what.
            message: one line.
            again: whether a second try may go better.
            tried: whether the server was turned to at all.
        """
        super().__init__(message)
        self.because, self.again, self.tried = because, again, tried


class _NotSent(Unanswered):
    """The request did not leave the device."""


class MisfitError(EdgeError):
    """A server of another model, or of other payloads, than this device can make use of."""


@dataclass
class Traffic:
    """What went over the network so far."""

    requests: int = 0  # that carried a question and may have reached the server
    bytes: int = 0  # of their bodies
    retries: int = 0
    refused_by_budget: int = 0
    descriptions: int = 0  # fetched; they have no body
    failures: Counter[str] = field(default_factory=Counter)  # by what happened


class BigClient:
    """Puts questions to one server.  Safe for use by several threads."""

    def __init__(
        self,
        connection: Connection,
        labels: Sequence[str],
        payload: str,
        budget: HourlyBudget,
        breaker: Breaker,
        timeout: float = 2.0,
        route: str = CLASSIFY,
    ) -> None:
        """Asks nothing yet.

        Args:
            connection: to the server.
            labels: in the order in which probabilities are wanted.
            payload: one of :data:`edge_client.payload.PAYLOADS`.
            budget: of the request bodies; fetching a description has none and is not in it.
            breaker: of this server.
            timeout: seconds for one question, its second try included.
            route: below the connection's URL.
        """
        self.traffic = Traffic()
        self.breaker = breaker
        self._connection, self._labels, self._payload = connection, tuple(labels), payload
        self._budget, self._timeout, self._route = budget, timeout, route
        self._lock = threading.Lock()  # of the traffic
        self._fetching = threading.Lock()
        self._known: tuple[Offer, Encoder] | None = None
        self._fitted = False  # did any description?
        self._not_before = 0.0
        self._closed = threading.Event()

    def ask(self, question: Question) -> Float64:
        """The big model's probabilities, ``[labels]``, in the order of this client's labels.

        Raises:
            Unanswered: within the timeout there is no answer to be had.
            MisfitError: the server's model has other labels, or takes other payloads; raised as
                long as no description of it fitted.
        """
        deadline = time.monotonic() + self._timeout
        try:
            return self._try(question, deadline, again=False)
        except Unanswered as failure:
            if not failure.again or not self._worth_waiting(deadline):
                raise
            tried = failure.tried
        try:
            return self._try(question, deadline, again=True)
        except Unanswered as failure:
            failure.tried |= tried
            raise

    def overdue(self) -> None:
        """Counts a question that whoever asked it no longer waits for."""
        self._failed("overdue", EdgeError("no answer in time"))

    def close(self) -> None:
        """Ends waits for second tries, and the connections."""
        self._closed.set()
        self._connection.close()

    def _try(self, question: Question, deadline: float, again: bool) -> Float64:
        """One request, and one more for the description where that is not known."""
        url = self._connection.url
        offer, encode = self._offer(deadline)
        try:
            body = encode(question)
        except EdgeError as error:
            raise self._failed("nonsense", error) from None
        if len(body) > offer.max_bytes:
            message = f"{url}: takes {offer.max_bytes} bytes, not {len(body)}"
            raise Unanswered(Because.UNREACHABLE, message, tried=False)
        reply = self._send(body, deadline, again)
        if reply.status == 409:
            self.breaker.success()
            with self._lock:
                self.traffic.failures["status 409"] += 1
                if self._known is not None and self._known[0] is offer:
                    self._known = None
            message = f"{url}: another model than its description was of"
            raise Unanswered(Because.UNREACHABLE, message, again=True)
        if reply.status != 200:
            raise self._refused(reply)
        try:
            answer = parse_answer(reply.body, self._labels, url)
        except AnswerError as error:
            raise self._failed("nonsense", error) from None
        self.breaker.success()
        return answer

    def _send(self, body: bytes, deadline: float, again: bool) -> Reply:
        if not self._budget.reserve(len(body)):
            with self._lock:
                self.traffic.refused_by_budget += 1
            raise Unanswered(Because.BUDGET, "this hour's budget is used up", tried=False)
        size, settle = len(body), self._budget.settle
        self._count(1, size, again)  # now, for the run can end while it is on its way
        try:
            return self._exchange("POST", self._route, deadline, body, content_type(self._payload))
        except _NotSent:
            settle = self._budget.release
            self._count(-1, -size, -again)
            raise
        finally:
            settle(size)

    def _count(self, requests: int, size: int, retries: int) -> None:
        with self._lock:
            self.traffic.requests += requests
            self.traffic.bytes += size
            self.traffic.retries += retries

    def _exchange(
        self,
        method: str,
        route: str,
        deadline: float,
        body: bytes | None = None,
        kind: str | None = None,
    ) -> Reply:
        """One exchange, if neither the breaker nor the server's own wish is against it."""
        url = self._connection.url
        if time.monotonic() < self._not_before:
            message = f"{url}: asked to be left alone for a while"
            raise _NotSent(Because.BUSY, message, tried=False)
        if not self.breaker.allows():
            message = f"{url}: failed too often; left alone for now"
            raise _NotSent(Because.UNREACHABLE, message, tried=False)
        left = max(deadline - time.monotonic(), _LEAST_S)
        try:
            return self._connection.exchange(method, route, left, body, kind)
        except ExchangeError as error:
            what = "no answer" if error.sent else "no connection"
            failed = self._failed(what, error, error.again)
            if not error.sent:
                failed = _NotSent(failed.because, str(failed), failed.again)
            raise failed from None

    def _refused(self, reply: Reply) -> Unanswered:
        """What an answer of another status than wanted means."""
        url = self._connection.url
        name, again = f"status {reply.status}", reply.status in _AGAIN
        if reply.retry_after is not None:
            patience = min(reply.retry_after, _LONGEST_PATIENCE_S)
            self._not_before = max(self._not_before, time.monotonic() + patience)
        if reply.status != 429:
            return self._failed(name, EdgeError(f"{url}: {name}{said(reply.body)}"), again)
        # Who says so is alive: no matter for the breaker.
        self.breaker.success()
        with self._lock:
            self.traffic.failures[name] += 1
        return Unanswered(Because.BUSY, f"{url}: has too much to do (status 429)", again)

    def _failed(self, what: str, error: EdgeError, again: bool = False) -> Unanswered:
        self.breaker.failure()
        with self._lock:
            self.traffic.failures[what] += 1
        return Unanswered(Because.UNREACHABLE, str(error), again)

    def _worth_waiting(self, deadline: float) -> bool:
        """Waits until a second try makes sense, if that leaves time for it."""
        now = time.monotonic()
        pause = max(random.uniform(*_PAUSE_S), self._not_before - now)
        return now + pause < deadline and not self._closed.wait(pause)

    def _offer(self, deadline: float) -> tuple[Offer, Encoder]:
        """What the server says of itself, fetched when it is first needed."""
        if not self._fetching.acquire(timeout=max(deadline - time.monotonic(), 0)):
            message = f"{self._connection.url}: its description is slow in coming"
            raise Unanswered(Because.UNREACHABLE, message, tried=False)
        try:
            with self._lock:
                known = self._known
            if known is None:
                known = self._fetch(deadline)
                with self._lock:
                    self._known = known
            return known
        finally:
            self._fetching.release()

    def _fetch(self, deadline: float) -> tuple[Offer, Encoder]:
        url = self._connection.url
        reply = self._exchange("GET", DESCRIPTION, deadline)
        if reply.status != 200:
            raise self._refused(reply)
        try:
            offer = Offer.from_json(parse_json(reply.body, url), f"{url}{DESCRIPTION}")
        except (AnswerError, DescriptionError) as error:
            raise self._failed("nonsense", error) from None
        with self._lock:
            self.traffic.descriptions += 1
        try:
            self._check(offer)
        except MisfitError as error:
            failed = self._failed("misfit", error)
            if self._fitted:
                # The operator put another model there; the device goes on without it.
                raise failed from None
            raise
        self._fitted = True
        self.breaker.success()
        return offer, Encoder(offer.description, self._payload)

    def _check(self, offer: Offer) -> None:
        url, theirs = self._connection.url, offer.description.labels
        if set(theirs) != set(self._labels):
            other = sorted(set(theirs) ^ set(self._labels))
            raise MisfitError(
                f"{url}: its model has other labels than this bundle's ({', '.join(other)[:80]}); "
                "name a server of the same words"
            )
        if self._payload not in offer.payloads:
            raise MisfitError(
                f"{url}: takes no {self._payload}; choose --payload "
                f"{' or '.join(offer.payloads)[:120]}"
            )
