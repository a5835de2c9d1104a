"""Whether the registry is well, and what it has counted."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from serving.registry.http.access import TheRegistry
from serving.registry.metrics import CONTENT_TYPE
from serving.registry.tuf.contents import ROLES, Contents
from serving.registry.tuf.repository import utc_now

router = APIRouter(tags=["the registry itself"])


class Health(BaseModel):
    """Whether devices can update from here."""

    status: Literal["ok", "expired"] = Field(description="expired: devices refuse the metadata.")
    serial: int = Field(description="Of what the channels offer.")
    expires: dict[str, datetime] = Field(description="By role of The Update Framework.")


@router.get("/health", responses={503: {"model": Health, "description": "Something expired."}})
async def health(registry: TheRegistry, response: Response) -> Health:
    """Whether devices can update from here, and until when they can."""
    contents = registry.store.repository.contents
    expires = {role: contents.expires(role) for role in ROLES}
    well = _is_valid(contents)
    if not well:
        response.status_code = 503
    return Health(status="ok" if well else "expired", serial=contents.serial, expires=expires)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(registry: TheRegistry) -> Response:
    """Counters for Prometheus."""
    return Response(registry.metrics.text(), media_type=CONTENT_TYPE)


def _is_valid(contents: Contents) -> bool:
    return all(contents.expires(role) > utc_now() for role in ROLES)
