"""The HTTP face of the gateway: which path is which request, and how answers and errors look."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge_client.errors import EdgeError
from edge_client.senml import Form
from serving.gateway import answers
from serving.gateway.admission import big_question, recording
from serving.gateway.auth import check_token
from serving.gateway.batching import Batcher
from serving.gateway.big import Big
from serving.gateway.body import BodyReader, ClientGone, form_of, unless_gone
from serving.gateway.decoder import Decoder
from serving.gateway.errors import GatewayError, MalformedError, MethodError, RouteError
from serving.gateway.metrics import CONTENT_TYPE, GatewayMetrics
from serving.gateway.request_log import log
from serving.gateway.slow import SlowModel
from serving.gateway.tensorflow_serving import Answer

CLIENT_GONE = 499  # nginx' number for it, in log and metrics only
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_BIG, _SLOW = ("/v1/classify", "/big_model"), "/slow_model"
_PAGES = ("/v1/description", "/healthz", "/metrics")
_OPEN = "/healthz"  # to everybody: who looks whether a server is up has no token

T = TypeVar("T")


@dataclass(frozen=True)
class _Request:
    """What of a request the answer depends on."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    receive: Receive


@dataclass(frozen=True)
class _Received(Generic[T]):
    """A body decoded, and when it was there by the loop's clock: its time-out runs from then."""

    content: T
    since: float


@dataclass
class _Account:
    """What the log says of a request beside its path and status."""

    body_bytes: int = 0
    label: str = ""
    error: str = ""


class GatewayApp:
    """The gateway as an ASGI application."""

    def __init__(
        self,
        big: Big,
        batcher: Batcher,
        slow: SlowModel | None,
        bodies: BodyReader,
        decoder: Decoder,
        max_bytes: int,
        token: bytes | None,
        metrics: GatewayMetrics,
    ) -> None:
        self._big = big
        self._batcher = batcher
        self._slow = slow
        self._bodies = bodies
        self._max_bytes = max_bytes
        self._token = token
        self._metrics = metrics
        self._decoder = decoder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request = _Request(scope["method"], scope["path"], dict(scope["headers"]), receive)
        request_id = _request_id(request.headers)
        account = _Account()
        status = CLIENT_GONE
        try:
            response = await self._answered(request, request_id, account)
            response.headers["X-Request-Id"] = request_id
            status = response.status_code
            await response(scope, receive, send)
        except ClientGone:
            account.error = "the client went away"
        finally:
            self._take_note(request, request_id, status, account, time.perf_counter() - began)

    async def _answered(self, request: _Request, request_id: str, account: _Account) -> Response:
        """The answer, whatever happens; only `ClientGone` is raised."""
        try:
            return await self._respond(request, account)
        except EdgeError as error:
            refusal: GatewayError = MalformedError(str(error))
        except GatewayError as error:
            refusal = error
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("a request failed", extra={"fields": {"request_id": request_id}})
            refusal = GatewayError("internal error; the gateway's log has the details")
        account.error = str(refusal)
        content = answers.refused(account.error, request_id)
        return _json(content, refusal.status, refusal.headers())

    async def _respond(self, request: _Request, account: _Account) -> Response:
        path = request.path
        asks = path in _BIG or path == _SLOW
        if not asks and path not in _PAGES:
            raise RouteError(f"nothing is here; see {', '.join((*_BIG, _SLOW, *_PAGES))}")
        if path != _OPEN:
            check_token(self._token, request.headers.get(b"authorization", b""))
        allowed = ("POST", "PUT") if asks else ("GET", "HEAD")
        if request.method not in allowed:
            names = ", ".join(allowed)
            raise MethodError(f"{request.method} is not taken here; use {names}", names)
        if asks:
            return await self._classify(request, account)
        if path == _OPEN:
            return self._health()
        if path == "/metrics":
            return Response(self._metrics.text(), media_type=CONTENT_TYPE)
        return _json(answers.described(self._big.model, self._max_bytes))

    def _health(self) -> Response:
        if self._big.ready:
            return _json(b'{"status": "ready"}')
        return _json(b'{"status": "the model is away"}', 503)

    async def _classify(self, request: _Request, account: _Account) -> Response:
        if request.path == _SLOW and self._slow is not None:
            spoken, answer = await self._ask_slow(self._slow, request, account)
            name = self._slow.name
        else:
            spoken, answer = await self._ask_big(request, account)
            name = self._big.name
        account.label = answer.label
        return _json(answers.classified(answer, name, spoken))

    async def _ask_big(self, request: _Request, account: _Account) -> tuple[Form, Answer]:
        model = self._big.model
        self._batcher.check_room()  # before any work, for under load there is enough of it
        received = await self._received(
            request, account, lambda body, form: big_question(body, form, model)
        )
        asked = received.content
        answer = self._batcher.put(asked.question, received.since)
        return asked.form, await unless_gone(answer, request.receive)

    async def _ask_slow(
        self, slow: SlowModel, request: _Request, account: _Account
    ) -> tuple[Form, Answer]:
        received = await self._received(
            request, account, lambda body, form: recording(body, form, slow.samples)
        )
        spoken, heard = received.content
        answer = asyncio.ensure_future(slow.answer(heard, received.since))
        return spoken, await unless_gone(answer, request.receive)

    async def _received(
        self, request: _Request, account: _Account, decode: Callable[[bytes, Form | None], T]
    ) -> _Received[T]:
        """The body decoded; nothing of it is kept while the model is asked."""
        form = form_of(request.headers)
        with self._bodies.room() as room:
            body = await self._bodies.read(request.headers, request.receive, room)
            account.body_bytes = len(body)
            since = asyncio.get_running_loop().time()
            content = await self._decoder(lambda: decode(body, form), len(body), request.receive)
            return _Received(content, since)

    def _take_note(
        self, request: _Request, request_id: str, status: int, account: _Account, seconds: float
    ) -> None:
        known = (*_BIG, _SLOW, *_PAGES)
        route = request.path if request.path in known else "other"
        self._metrics.answered(route, status, seconds, account.body_bytes)
        fields = {
            "request_id": request_id,
            "method": request.method[:20],
            "path": request.path[:100],
            "status": status,
            "bytes": account.body_bytes,
            "ms": round(seconds * 1000, 2),
        }
        if account.label:
            fields["label"] = account.label
        if account.error:
            fields["error"] = account.error
        log.info("request", extra={"fields": fields})


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    """The client's own, where it may stand in a log as it is."""
    given = headers.get(b"x-request-id", b"")
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _json(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")
