"""What devices fetch: metadata and target files, as they lie in the repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from edge_client.fleet.paths import METADATA, TARGETS
from serving.registry.access import the_registry
from serving.registry.errors import NotFoundError
from serving.registry.files import TIMESTAMP, StaticFile
from serving.registry.schemas import Problem

_FOREVER = "public, max-age=31536000, immutable"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
JSON, BYTES = "application/json", "application/octet-stream"


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
    return await serve_file(request, f"metadata/{request.path_params['file']}", JSON)


@router.get(
    TARGETS + "/{path:path}",
    responses=file_responses(BYTES),
    response_class=Response,
    openapi_extra=_path("path", "With the hash before the name.", "channels/kws-a/00.stable.json"),
)
async def target(request: Request) -> Response:
    """A bundle, or what a channel offers."""
    return await serve_file(request, f"targets/{request.path_params['path']}", BYTES)


async def serve_file(request: Request, path: str, media_type: str) -> Response:
    """A file of the repository, or what of it the request wants. Raises `NotFoundError`."""
    files = (await the_registry(request)).store.repository.files
    file = files.at_hand(path) or await files.get(path)
    if file is None:
        raise NotFoundError("there is no such file")
    return _answer(request, file, media_type)


def _answer(request: Request, file: StaticFile, media_type: str) -> Response:
    asked = request.headers
    head = {
        "ETag": file.etag,
        "Cache-Control": "no-cache" if file.path == TIMESTAMP else _FOREVER,
        "Accept-Ranges": "bytes",
    }
    matches = asked.get("if-none-match")
    if matches is not None and (matches.strip() == "*" or file.etag in matches):
        return Response(status_code=304, headers=head)
    span = _RANGE.fullmatch(asked.get("range", "").strip())
    # RFC 9110, section 14.2: a range that is not understood is as none, and so is one of a file
    # that has become another.
    if span is None or span[0] == "bytes=-" or asked.get("if-range", file.etag) != file.etag:
        return Response(file.data, headers=head, media_type=media_type)
    size = len(file.data)
    if span[1]:
        start, end = int(span[1]), min(int(span[2] or size), size - 1) + 1
        understood = not span[2] or int(span[2]) >= start
    else:
        start, end = max(size - int(span[2]), 0), size
        understood = True
    if not understood:
        return Response(file.data, headers=head, media_type=media_type)
    if start >= size:
        content = Problem(error=f"the file has {size} bytes").model_dump_json()
        whole = {"Content-Range": f"bytes */{size}"}
        return Response(content, 416, headers=whole, media_type=JSON)
    head["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Response(file.data[start:end], 206, headers=head, media_type=media_type)
