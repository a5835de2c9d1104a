"""What stands in requests and answers, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edge_client.fleet.names import NAME

PATTERN = f"^{NAME.pattern}$"
_MEANINGS = {
    400: "Not what is wanted here; the line says what.",
    401: "A token is needed.",
    403: "The token does not allow this.",
    404: "There is no such thing.",
    408: "The request does not come.",
    409: "What is there already stands against it.",
    413: "Larger than is taken.",
    429: "Too many at once; try again.",
    507: "The registry's disk is full.",
}

# A name as a part of a path, a query or a document.
Name = Annotated[str, Field(pattern=PATTERN, examples=["kws-a"])]
ModelName = Annotated[str, Path(pattern=PATTERN, description="The model.", examples=["kws-a"])]
VersionName = Annotated[str, Path(pattern=PATTERN, description="Its version.", examples=["1.0"])]
ChannelName = Annotated[str, Path(pattern=PATTERN, description="Channel.", examples=["stable"])]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON Schema takes 4.0 for an integer, and so do we. To stand last among annotations.
WHOLE = BeforeValidator(_whole)


class Strict(BaseModel):
    """A document in which no unknown field may stand, and no text passes for a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(BaseModel):
    """Every answer that is none."""

    error: str = Field(description="One line: what is wrong, and what to do.")


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these, and with 400 for bad input."""
    return {
        status: {"model": Problem, "description": _MEANINGS[status]}
        for status in sorted({400, *statuses})
    }


class BudgetMet(BaseModel):
    """One budget and what was measured."""

    metric: str
    comparison: Literal["<", ">"]
    required: float
    measured: float
    unit: str
