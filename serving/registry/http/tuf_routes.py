"""What devices fetch: metadata and target files, as they lie in the repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import Scope

from edge_client.fleet.paths import METADATA, TARGETS
from serving.registry.errors import NotFoundError
from serving.registry.http.access import the_registry
from serving.registry.http.schemas import Problem
from serving.registry.tuf.files import BYTES, JSON, StaticFile, StaticFiles

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_TOP, _METADATA, _TARGETS = "/tuf/", f"{METADATA}/", f"{TARGETS}/"
_NO_SUCH = "there is no such file"
_NOT_THERE = Problem(error=_NO_SUCH).model_dump_json()


class DirectRoute(APIRoute):
    """A route whose function takes the request and gives the response.

    A thousand devices ask at once: what FastAPI does for other routes, such as checking parameters
    that are looked up in a set here, would take longer than all the rest.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


router = APIRouter(route_class=DirectRoute, tags=["The Update Framework"])
_NO_FILE: dict[str, Any] = {"model": Problem, "description": "There is no such file."}


def _path(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "examples": [example]}
    parameter = {"name": name, "in": "path", "required": True, "description": description}
    return {"parameters": [{**parameter, "schema": schema}]}


def file_responses(media_type: str) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of a route that answers with a file."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    if media_type == JSON:
        content = {media_type: {"schema": {"type": "object"}}}
    return {
        200: {"description": "The file.", "content": content},
        206: {"description": "The part of it that the header Range names.", "content": content},
        304: {"description": "The client has it, by the header If-None-Match."},
        404: _NO_FILE,
        416: {"model": Problem, "description": "The range begins after the file's end."},
    }


@router.get(
    METADATA + "/{file}",
    responses=file_responses(JSON),
    response_class=Response,
    openapi_extra=_path("file", "Such as 1.root.json.", "timestamp.json"),
)
async def metadata(request: Request) -> Response:
    """Metadata, of which only timestamp.json changes under its name."""
    return await serve_file(request, f"metadata/{request.path_params['file']}")


@router.get(
    TARGETS + "/{path:path}",
    responses=file_responses(BYTES),
    response_class=Response,
    openapi_extra=_path("path", "With the hash before the name.", "channels/kws-a/00.stable.json"),
)
async def target(request: Request) -> Response:
    """A bundle, or what a channel offers."""
    return await serve_file(request, f"targets/{request.path_params['path']}")


async def serve_file(request: Request, path: str) -> Response:
    """A file of the repository, or what of it the request wants. Raises `NotFoundError`."""
    files = (await the_registry(request)).store.repository.files
    file = await files.get(path)
    if file is None:
        raise NotFoundError(_NO_SUCH)
    return _answer(request.headers, file)


def answer_at_once(scope: Scope, files: StaticFiles) -> Response | None:
    """The answer to a request for metadata or a target, unless the file must be read first.

    Before any routing: a thousand devices ask at once, each for half a dozen files, and for one
    that is not there yet, the next root.
    """
    path: str = scope["path"]
    is_metadata = path.startswith(_METADATA)
    if scope["method"] != "GET" or not (is_metadata or path.startswith(_TARGETS)):
        return None
    path = path.removeprefix(_TOP)
    file = files.at_hand(path)
    if file is not None:
        scope["route"] = _ROUTES[is_metadata]
        return _answer(Headers(scope=scope), file)
    if path in files.known:
        return None
    scope["route"] = _ROUTES[is_metadata]
    return Response(_NOT_THERE, 404, media_type=JSON)


def _answer(asked: Headers, file: StaticFile) -> Response:
    head = dict(file.head)
    matches = asked.get("if-none-match")
    if matches is not None and (matches.strip() == "*" or file.etag in matches):
        return Response(status_code=304, headers=head)
    size = len(file.data)
    part = _part(asked.get("range", ""), size)
    if part is None or asked.get("if-range", file.etag) != file.etag:
        return Response(file.data, headers=head)
    if part.start >= size:
        content = Problem(error=f"the file has {size} bytes").model_dump_json()
        return Response(content, 416, {"content-range": f"bytes */{size}"}, JSON)
    head["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return Response(file.data[part.start : part.stop], 206, head)


def _part(text: str, size: int) -> range | None:
    """What of `size` bytes the header Range names; None for all.

    One that is not understood is as none (RFC 9110, section 14.2), and so are several at once.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # so many at the end
        return range(max(size - int(found[2]), 0), size)
    start, last = int(found[1]), int(found[2] or size)
    return None if found[2] and last < start else range(start, min(last + 1, size))


_ROUTES = {
    route.endpoint is metadata: route for route in router.routes if isinstance(route, APIRoute)
}
