"""The HTTP face: which path is which request, and how answers and errors look."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from serving.embedded.errors import ServingError, TooLargeError, invalid
from serving.embedded.inference import MAX_BODY_BYTES, Inference, ModelTarget
from serving.embedded.metrics import CONTENT_TYPE, ServerMetrics
from serving.embedded.versions import Version, VersionManager

METRICS_PATH = "/monitoring/prometheus/metrics"
WORKERS = 32
MAX_IN_FLIGHT = 256
MAX_BYTES_IN_FLIGHT = 8 * MAX_BODY_BYTES
BODY_TIMEOUT_S = 60

log = logging.getLogger("serving")

_INT64_MAX = (1 << 63) - 1
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
# Matched against the path as it was sent: a name may hold an encoded slash or colon.
_API = re.compile(r"/v1/.*|/v1/models", re.IGNORECASE | re.DOTALL)
_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(_MODEL + r":(?P<verb>[a-z]+)", re.IGNORECASE | re.ASCII)
_STATUS = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HTML = "<HTML><HEAD>\n<TITLE>{0}</TITLE>\n</HEAD><BODY>\n<H1>{1}</H1>\n</BODY></HTML>\n"


class UnreadRequestError(Exception):
    """A request that is given up before it was read whole."""

    def __init__(self, http_status: int, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.message = message


class RestApi:
    """TensorFlow Serving's REST API as an ASGI application."""

    def __init__(self, manager: VersionManager, metrics: ServerMetrics) -> None:
        self._manager = manager
        self._metrics = metrics
        self._inference = Inference(manager, metrics)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="inference")
        self._in_flight = 0
        self._bytes_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(scope, receive)
        except (UnreadRequestError, TooLargeError) as error:
            response = _error(error.http_status, error.message)
            # What is left of the body is not read, so the connection cannot be used again.
            response.headers["connection"] = "close"
        except ServingError as error:
            response = _error(error.http_status, error.message)
        except _ClientGone:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            response = _error(500, "internal error; the server's log has the details")
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        method, path = scope["method"], _path(scope)
        if method not in _METHODS:
            return _html(501, "Not Implemented")
        if _BAD_ESCAPE.search(path):
            return _html(400, "Bad Request")
        if path == METRICS_PATH and method == "GET":
            return Response(self._metrics.text(), media_type=CONTENT_TYPE)
        if not _API.fullmatch(path):
            return _html(404, "Not Found")
        headers = dict(scope["headers"])
        if method == "OPTIONS":
            return Response(status_code=200 if b"origin" in headers else 400)
        malformed = invalid(f"Malformed request: {method} {path}")
        if method == "POST":
            match = _INFERENCE.fullmatch(path)
            if match is None or match["verb"] not in ("predict", "classify", "regress"):
                raise malformed
            return await self._infer(match["verb"], _target(match, malformed), headers, receive)
        if method == "GET":
            if path.lower() == "/v1/models":
                raise invalid("Missing model name in request.")
            match = _STATUS.fullmatch(path)
            if match is None:
                raise malformed
            if match["metadata"] == "/metadata":
                return self._metadata(_target(match, malformed))
            return self._status(_target(match, malformed))
        raise malformed

    async def _infer(
        self, verb: str, target: ModelTarget, headers: dict[bytes, bytes], receive: Receive
    ) -> Response:
        if self._in_flight >= MAX_IN_FLIGHT:
            raise _busy()
        self._in_flight += 1
        size = 0
        chunks: list[bytes] = []
        try:
            async for chunk in _body(headers, receive):
                # Counted as they come: bodies half received take memory as well.
                if self._bytes_in_flight + len(chunk) > MAX_BYTES_IN_FLIGHT:
                    raise _busy()
                chunks.append(chunk)
                size += len(chunk)
                self._bytes_in_flight += len(chunk)
            body = b"".join(chunks)
            chunks.clear()
            gzipped = headers.get(b"content-encoding") == b"gzip"
            answer = await asyncio.get_running_loop().run_in_executor(
                self._workers, self._inference.answer, verb, target, body, gzipped
            )
        finally:
            self._in_flight -= 1
            self._bytes_in_flight -= size
        return Response(answer, media_type="application/json")

    def _status(self, target: ModelTarget) -> Response:
        # The real server knows labels in this path and pays no heed to them.
        versions = self._manager.status(target.name, target.version)
        return _json(200, {"model_version_status": [_version_status(each) for each in versions]}, 1)

    def _metadata(self, target: ModelTarget) -> Response:
        with self._manager.lease(target.name, target.version, target.label) as (number, model):
            spec = {"name": target.name, "signature_name": "", "version": str(number)}
            signatures = {"signature_def": {"signature_def": model.signature_defs_json}}
        return _json(200, {"model_spec": spec, "metadata": signatures}, 1)


def make_app(manager: VersionManager, metrics: ServerMetrics) -> Starlette:
    """The application that uvicorn serves."""
    return Starlette(routes=[Mount("/", app=RestApi(manager, metrics))])


class _ClientGone(Exception):
    """The client closed the connection before its request was whole."""


def _path(scope: Scope) -> str:
    """The request's target as it was sent; to the real server ``?`` is part of the path."""
    path: str = scope["raw_path"].decode("latin-1")
    query: bytes = scope["query_string"]
    return f"{path}?{query.decode('latin-1')}" if query else path


def _target(match: re.Match[str], malformed: ServingError) -> ModelTarget:
    version = int(match["version"]) if match["version"] else None
    if version is not None and version > _INT64_MAX:
        raise malformed
    label = match["label"]
    return ModelTarget(_unescape(match["name"]), version, _unescape(label) if label else None)


def _unescape(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def _busy() -> UnreadRequestError:
    return UnreadRequestError(503, "too many requests are waiting; try again later")


async def _body(headers: dict[bytes, bytes], receive: Receive) -> AsyncIterator[bytes]:
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        raise TooLargeError(MAX_BODY_BYTES)
    size = 0
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            text = f"no more of the body came for {BODY_TIMEOUT_S} s"
            raise UnreadRequestError(408, text) from None
        if message["type"] == "http.disconnect":
            raise _ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise TooLargeError(MAX_BODY_BYTES)
        yield chunk
        more = message.get("more_body", False)


def _version_status(version: Version) -> dict[str, Any]:
    error = version.error
    return {
        "version": str(version.number),
        "state": version.state,
        "status": {
            "error_code": error.code.name if error else "OK",
            "error_message": error.message if error else "",
        },
    }


def _json(status: int, value: Any, indent: int) -> Response:
    text = json.dumps(value, indent=indent)
    return Response(text, status_code=status, media_type="application/json")


def _error(status: int, message: str) -> Response:
    return _json(status, {"error": message}, indent=4)


def _html(status: int, reason: str) -> Response:
    text = _HTML.format(f"{status} {reason}", reason)
    return Response(text, status_code=status, media_type="text/html")
