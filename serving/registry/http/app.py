"""The HTTP face of the registry: its routes, its errors and its OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from edge_client.errors import EdgeError
from serving.refusal import Refusal
from serving.registry.errors import StorageError
from serving.registry.http import coursework_routes as coursework
from serving.registry.http import device_routes, model_routes, pages, rollout_routes, tuf_routes
from serving.registry.http.front import Front
from serving.registry.log import log
from serving.registry.registry import Registry

TITLE = "ml4iot registry"
_DESCRIPTION = """\
Blessed bundles, the channels that offer them, and The Update Framework's metadata by which devices
verify both. Reading is open; writing needs a token. Every error is `{"error": "one line"}`.
"""
ROUTERS = (
    tuf_routes.router,
    model_routes.router,
    model_routes.downloads,
    rollout_routes.router,
    device_routes.router,
    coursework.router,
    pages.router,
)


def create_app(registry: Registry) -> FastAPI:
    """The application; who runs it also starts and closes the registry's services."""
    app = _App(
        title=TITLE,
        version="1",
        description=_DESCRIPTION,
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        exception_handlers={
            Refusal: _refused,
            EdgeError: _bad_input,
            OSError: _not_written,
            RequestValidationError: _invalid,
            HTTPException: _not_routed,
        },
    )
    app.state.registry = registry
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(
        Front,
        files=registry.store.repository.files,
        metrics=registry.metrics,
        tokens=registry.tokens,
    )
    return app


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document, in which wrong input is 400 as it is here, not FastAPI's own 422."""
        if self.openapi_schema is None:
            document = get_openapi(
                title=self.title,
                version=self.version,
                description=self.description,
                routes=self.routes,
            )
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            self.openapi_schema = document
        return self.openapi_schema


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return problem(str(error), error.status, error.headers())


async def _bad_input(_: Request, error: Exception) -> Response:
    return problem(str(error), 400)


async def _not_written(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    log.error("the folder cannot be written", exc_info=error)
    refusal = StorageError(f"the registry cannot write: {error.strerror or error}; send it again")
    return problem(str(refusal), refusal.status)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem(f"{where}: {first['msg']}", 400)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request.url.path)))
    told = {
        404: "nothing is here; see /openapi.json",
        405: "this method is not taken here; see /openapi.json",
    }
    text = told.get(error.status_code, str(error.detail))
    return problem(text, error.status_code, headers)


def _methods(path: str) -> set[str]:
    """All that are taken there; FastAPI knows those of one route only."""
    found: set[str] = set()
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(path):
                found.update(route.methods or ())
    return found


def problem(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """An error as the client is told it."""
    return JSONResponse({"error": str(Refusal(text))}, status, headers)
