"""The coursework's routes, for the clients that speak them: add, list, predict.

Clients show no token there, so that as long as the registry has none they may come from its own
machine without; see `access.OperatorOrHere`.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from edge_client.monitor.alarm import Thresholds
from serving.registry.coursework.added import MAX_MODEL_BYTES
from serving.registry.errors import BadRequestError, BusyError
from serving.registry.http.access import OperatorOrHere, TheRegistry
from serving.registry.http.schemas import Name, errors

router = APIRouter(tags=["coursework"])

_Threshold = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]
# A model is tried for up to a minute, one after another: whoever waits holds one of the server's
# threads, which are few, and are there for the fleet.
AT_ONCE = 8
_TURNS = threading.BoundedSemaphore(AT_ONCE)
_GUARDED = errors(401, 403, 408, 413, 429, 507)


class Addition(BaseModel):
    """A plain TFLite model: six samples of temperature and humidity in, those that follow out."""

    model: Annotated[
        str,
        Field(
            description="In base64.",
            max_length=MAX_MODEL_BYTES * 4 // 3 + 4,
            json_schema_extra={"contentEncoding": "base64", "format": "byte"},
        ),
    ]
    name: Name


class AddedView(BaseModel):
    """What the registry has."""

    name: str
    bytes: int


class AddedNames(BaseModel):
    """Names of the models that were added."""

    models: list[str]


class Monitored(BaseModel):
    """What is monitored now."""

    model: str
    tthres: float = Field(description="°C")
    hthres: float = Field(description="% of relative humidity")


@router.put("/add", responses=_GUARDED, dependencies=[OperatorOrHere])
@router.post("/add", responses=_GUARDED, dependencies=[OperatorOrHere])
def add(registry: TheRegistry, body: Addition) -> AddedView:
    """Adds a model to monitor with, in place of one of the same name.

    It is run once in a process of its own. No device of the fleet is ever offered it.
    """
    try:
        model = base64.b64decode(body.model, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequestError("model: no base64") from None
    with _turn():
        registry.added.add(body.name, model)
    return AddedView(name=body.name, bytes=len(model))


@router.get("/list")
def list_added(registry: TheRegistry) -> AddedNames:
    """The models that were added."""
    return AddedNames(models=registry.added.names())


@router.get("/predict", responses=_GUARDED, dependencies=[OperatorOrHere])
@router.post("/predict", responses=_GUARDED, dependencies=[OperatorOrHere])
def predict(
    registry: TheRegistry,
    model: Name,
    tthres: _Threshold = None,
    hthres: _Threshold = None,
    tthresh: _Threshold = None,
    hthresh: _Threshold = None,
) -> Monitored:
    """Monitors temperature and humidity on the registry's host with a model that was added.

    Every second both are measured; as soon as there are six samples, what was forecast for the
    next is compared with it, and an absolute error above `tthres` (°C) or `hthres` (%) is an alarm
    at the registry's broker, which `ml4iot-edge alarms` prints. Where this model monitors already
    it goes on with these thresholds. `tthresh` and `hthresh` mean the same.
    """
    temperature = tthresh if tthres is None else tthres
    humidity = hthresh if hthres is None else hthres
    if temperature is None or humidity is None:
        raise BadRequestError("both thresholds are wanted: ?model=NAME&tthres=1.0&hthres=2.0")
    found = registry.added.model(model)
    with _turn():
        registry.monitoring.watch(model, found, Thresholds(temperature, humidity))
    return Monitored(model=model, tthres=temperature, hthres=humidity)


@contextmanager
def _turn() -> Iterator[None]:
    if not _TURNS.acquire(blocking=False):
        raise BusyError(f"{AT_ONCE} models are tried or wait for it already; try again")
    try:
        yield
    finally:
        _TURNS.release()
