"""What every request passes first: its id, a bound on its body, the log and the metrics."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_client.bundle.file import MAX_BUNDLE_BYTES
from serving.gateway.body import BodyReader, ClientGone
from serving.refusal import Refusal
from serving.registry.errors import ForbiddenError, TokenNeededError
from serving.registry.http.tuf_routes import answer_at_once
from serving.registry.log import log
from serving.registry.metrics import RegistryMetrics
from serving.registry.tokens import Tokens
from serving.registry.tuf.contents import MAX_METADATA_BYTES
from serving.registry.tuf.files import StaticFiles

CLIENT_GONE = 499  # nginx' number for it, in log and metrics only
MAX_BODY_BYTES = 256 * 1024
# In base64, beside metadata in JSON.
MAX_PUSH_BYTES = MAX_BUNDLE_BYTES * 4 // 3 + MAX_METADATA_BYTES + MAX_BODY_BYTES
_BODIES_AT_ONCE, _PUSHES_AT_ONCE = 64, 3
_PUSH = re.compile(r"/models/[^/]+/versions/[^/]+")
_WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Front:
    """ASGI middleware around the whole application; its errors look as all others."""

    def __init__(
        self, app: ASGIApp, files: StaticFiles, metrics: RegistryMetrics, tokens: Tokens
    ) -> None:
        self._app = app
        self._files = files
        self._metrics = metrics
        self._tokens = tokens
        self._bodies = BodyReader(MAX_BODY_BYTES, _BODIES_AT_ONCE)
        self._pushes = BodyReader(MAX_PUSH_BYTES, _PUSHES_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        status = CLIENT_GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            await self._pass_on(scope, headers, receive, noted)
        except ClientGone:
            pass
        except Refusal as error:
            answer = JSONResponse({"error": str(error)}, error.status, error.headers())
            await answer(scope, receive, noted)
        except Exception:
            fields = {"request_id": request_id}
            log.exception("a request failed", extra={"fields": fields})
            if status == CLIENT_GONE:  # nothing was sent yet
                text = "internal error; the registry's log has the details"
                await JSONResponse({"error": text}, 500)(scope, receive, noted)
        finally:
            self._take_note(scope, request_id, status, time.perf_counter() - began)

    async def _pass_on(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        at_once = answer_at_once(scope, self._files)
        if at_once is not None:
            await at_once(scope, receive, send)
            return
        if scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        reader = self._bodies
        if scope["method"] == "PUT" and _PUSH.fullmatch(scope["path"]):
            self._check_pusher(headers)  # before a long body is taken in
            reader = self._pushes
        with reader.room() as room:
            body = await reader.read(headers, receive, room)
            await self._app(scope, _replayed(body, receive), send)

    def _check_pusher(self, headers: Mapping[bytes, bytes]) -> None:
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        holder = self._tokens.holder(token) if scheme.lower() == "bearer" else None
        if holder is None:
            raise TokenNeededError("a token that is known is needed; ask the registry's operator")
        if holder.role == "device":  # or each could keep those that push from their few places
            raise ForbiddenError("a token of role push or operate is needed; this is of device")

    def _take_note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        self._metrics.answered(route.path if route is not None else "other", status, seconds)
        fields = {
            "request_id": request_id,
            "method": scope["method"][:20],
            "path": scope["path"][:200],
            "status": status,
            "ms": round(seconds * 1000, 2),
        }
        log.info("request", extra={"fields": fields})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` for an application that has not seen the body yet."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    """The client's own, where it may stand in a log as it is."""
    given = headers.get(b"x-request-id", b"")
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
