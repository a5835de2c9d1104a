"""The fleet over HTTP: what devices last said of themselves, and what they measured."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from edge_client.fleet.report import MAX_INFERENCES
from edge_client.measurement import MAX_RUNS, Measurement
from serving.registry.errors import ForbiddenError, NotFoundError
from serving.registry.http.access import Reporter, TheRegistry
from serving.registry.http.schemas import (
    PATTERN,
    WHOLE,
    ModelName,
    Name,
    Strict,
    VersionName,
    errors,
)

MAX_PAGE = 1000
_LONG = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
_SHORT = "(0[469]|11)-(0[1-9]|[12][0-9]|30)"
_FEBRUARY = "02-(0[1-9]|[12][0-9])"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_MOMENT = f"^20[0-9]{{2}}-({_LONG}|{_SHORT}|{_FEBRUARY})T{_TIME}Z$"

router = APIRouter(tags=["devices"])

DeviceName = Annotated[str, Path(pattern=PATTERN, description="The device.", examples=["pi-1"])]
# What a system says of itself: Latin letters and signs, in one line.
Words = Annotated[str, Field(pattern="^[ -~®-ɏ]*$", max_length=200)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]


class StatusView(BaseModel):
    """A birth message or last will."""

    online: bool
    client: str
    since: str


class SlotView(BaseModel):
    """A version that is installed."""

    version: str
    slot: Literal["a", "b"]
    since: str


class ModelReportView(BaseModel):
    """How far a device is with one of its models."""

    model: str
    channel: str
    state: Literal["idle", "downloading", "verified", "testing", "active", "rolled_back", "refused"]
    wanted: str | None
    progress: float
    active: SlotView | None
    previous: SlotView | None
    reason: str
    failed: list[str]
    rollout: str | None


class LatencyView(BaseModel):
    """Percentiles, in milliseconds."""

    p50: float
    p95: float
    p99: float


class UsageView(BaseModel):
    """How often a model has answered, and how fast."""

    model: str
    version: str
    inferences: Annotated[int, Field(le=MAX_INFERENCES)]
    latency_ms: LatencyView
    since: str


class DeviceView(BaseModel):
    """What a device last said."""

    device: str
    online: bool
    heard_at: str
    status: StatusView | None
    models: list[ModelReportView]
    usage: list[UsageView]


class DevicePage(BaseModel):
    """A page of devices, by name; `next` is what to ask for the page after it."""

    devices: list[DeviceView]
    next: str | None


class MachineBody(Strict):
    """What was measured on, in the system's own words."""

    architecture: Words
    processor: Words
    system: Words
    cores: Annotated[int, Field(ge=1, le=65536), WHOLE]


class MeasurementBody(Strict):
    """Medians of `ml4iot-edge bench`; the model is known by the SHA-256 of its file."""

    device: Name
    model: Name
    version: Name
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    measured_at: Annotated[str, Field(pattern=_MOMENT, examples=["2026-11-20T12:00:00Z"])]
    features_ms: Milliseconds
    inference_ms: Milliseconds
    total_ms: Milliseconds
    runs: Annotated[int, Field(ge=1, le=MAX_RUNS), WHOLE]
    resident_mb: Annotated[float, Field(ge=0, le=1e9)] | None
    machine: MachineBody


class KeptMeasurements(BaseModel):
    """The last measurement of each device of each model file."""

    measurements: list[MeasurementBody]


@router.get("/devices", responses=errors())
def list_devices(
    registry: TheRegistry,
    after: Annotated[str, Query(pattern=f"{PATTERN}|^$", description="A name.")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
) -> DevicePage:
    """Devices that report over MQTT, by name."""
    found = registry.devices.page(after, limit + 1)
    page, more = found[:limit], len(found) > limit
    shown = [DeviceView.model_validate(each.to_json()) for each in page]
    return DevicePage(devices=shown, next=page[-1].name if more else None)


@router.get("/devices/{device}", responses=errors(404))
def show_device(device: DeviceName, registry: TheRegistry) -> DeviceView:
    """One device."""
    found = registry.devices.get(device)
    if found is None:
        raise NotFoundError(f"device {device} was never heard of; does it reach the broker?")
    return DeviceView.model_validate(found.to_json())


@router.post(
    "/devices/{device}/measurements",
    status_code=201,
    responses=errors(401, 403, 408, 409, 413, 507),
)
def report_measurement(
    device: DeviceName, wanted: MeasurementBody, registry: TheRegistry, holder: Reporter
) -> MeasurementBody:
    """Keeps what a device measured, in place of its last word on the same model file.

    Of a device that sends very many the oldest are forgotten.
    """
    if holder.role == "device" and holder.name != device:
        raise ForbiddenError(f"this token speaks for device {holder.name}, not for {device}")
    if wanted.device != device:
        raise ForbiddenError(f"a measurement of device {wanted.device}, not of {device}")
    registry.measurements.add(Measurement.of(wanted.model_dump()))
    return wanted


@router.get("/models/{model}/measurements", responses=errors())
def show_measurements_of_model(model: ModelName, registry: TheRegistry) -> KeptMeasurements:
    """What devices measured of all versions of a model, pushed or not; the newest at the end."""
    kept = registry.measurements.of_model(model)
    return KeptMeasurements.model_validate({"measurements": [each.to_json() for each in kept]})


@router.get("/models/{model}/versions/{version}/measurements", responses=errors())
def show_measurements(
    model: ModelName, version: VersionName, registry: TheRegistry
) -> KeptMeasurements:
    """What devices measured of a version, pushed or not."""
    kept = registry.measurements.of(model, version)
    return KeptMeasurements.model_validate({"measurements": [each.to_json() for each in kept]})
