"""A registry with versions of a model in it, and devices that say what they are told to say."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import TargetFile

from edge_client.fleet.paths import bundle_target
from edge_client.fleet.provenance import Provenance
from edge_client.fleet.report import DeviceStatus, ModelReport, Slot, UsageReport
from edge_client.fleet.topics import Said
from serving.registry.devices.devices import Devices
from serving.registry.options import RegistryOptions
from serving.registry.registry import Registry, open_registry
from serving.registry.tuf.create import KeyCounts, create
from serving.registry.tuf.keys import read_key
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.signing import Change

MODEL, CHANNEL = "kws", "stable"
OLD, NEW, NEWER = "1.0", "2.0", "3.0"
SINCE = "2026-11-20T12:00:00Z"


def make_folder(folder: Path) -> RegistryOptions:
    """A registry's folder with three versions, of which the channel offers the old one."""
    keys = folder.with_name(f"{folder.name}-keys")
    create(folder, keys, KeyCounts())
    repository = Repository(folder)
    key = read_key(keys / "targets.pem")

    def add(now, moment, version):
        # What is in a bundle is none of a rollout's business.
        bundle = f"bundle {version}".encode()
        path = bundle_target(MODEL, version)
        target = TargetFile.from_data(path, bundle, ["sha256"])
        told = Provenance(MODEL, version, "ci", SINCE, "kws", "run-1", ())
        target.unrecognized_fields["custom"] = told.to_custom()
        targets = deepcopy(now.targets)
        targets.signed.version += 1
        targets.signed.targets[path] = target
        targets.sign(key)
        return Change(bundle=(target, bundle), targets=targets)

    for version in (OLD, NEW, NEWER):
        repository.publish(lambda now, moment, version=version: add(now, moment, version))
    options = RegistryOptions(folder)
    open_registry(options).store.activate(MODEL, CHANNEL, OLD)
    return options


@dataclass
class Clock:
    """A monotonic clock that goes only when told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def status(online: bool = True) -> bytes:
    return DeviceStatus(online, "ml4iot-edge 0.1.0", SINCE).serialise()


def model_report(state: str = "active", active: str | None = OLD, **changes) -> ModelReport:
    said = {
        "model": MODEL,
        "channel": CHANNEL,
        "state": state,
        "wanted": active,
        "progress": 1.0,
        "active": Slot(active, "a", SINCE) if active else None,
        "previous": None,
        "reason": "",
        "failed": (),
        "rollout": None,
    }
    return ModelReport(**(said | changes))


def usage_report(version: str = OLD) -> UsageReport:
    return UsageReport(MODEL, version, 10, {"p50": 1.0, "p95": 2.0, "p99": 3.0}, SINCE)


def says(devices: Devices, name: str, report: ModelReport) -> None:
    """A device says this of its model."""
    devices.take(Said("model", name, report.model), report.serialise())


def fleet_appears(devices: Devices, *names: str) -> None:
    """Devices that are online and run the old version."""
    for name in names:
        devices.take(Said("status", name, ""), status())
        says(devices, name, model_report())


def follow(registry: Registry, name: str, works: bool = True) -> None:
    """A device looks at its channel and does what it is offered, or fails at it."""
    offered = registry.store.channel(MODEL, CHANNEL)
    wanted = offered.version_for(name)
    by = offered.rollout.id if offered.rollout and offered.rollout.includes(name) else None
    if works or wanted == OLD:
        report = model_report("active", wanted, rollout=by)
    else:
        report = model_report(
            "rolled_back", OLD, wanted=wanted, failed=(wanted,), reason="crash", rollout=by
        )
    says(registry.devices, name, report)
