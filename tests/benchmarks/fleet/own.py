"""A registry and a broker for the simulation alone, with a model that is pushed to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from components.edge_pusher.registry import RegistryTarget
from components.edge_pusher.upload import push_signed
from edge_client.bundle import Bundle, Manifest, bundle_bytes, pack_model
from edge_client.mqtt.broker import open_broker
from serving.broker import find_mosquitto, start_broker
from serving.options import UsageError
from serving.registry.launcher import start_registry
from serving.registry.options import RegistryOptions
from serving.registry.tokens import Tokens
from serving.registry.tuf.create import KeyCounts, create
from tests.benchmarks.fleet.device import Place

CHANNEL = "canary"  # what a pipeline's token may move


def under_version(bundle: Bundle, version: str) -> tuple[bytes, Manifest]:
    """The same model as another version: the bundle's bytes, and its manifest."""
    entry, packed = pack_model(bundle.model, bundle.manifest.model.compression)
    manifest = replace(bundle.manifest, version=version, model=entry)
    return bundle_bytes(manifest, packed, manifest.name), manifest


@dataclass(frozen=True)
class Own:
    """They run."""

    place: Place
    target: RegistryTarget
    bundle: Bundle
    registry: int  # process

    def push(self, version: str) -> None:
        """Signs and pushes the model under a version, as EdgePusher does."""
        push_signed(self.target, *under_version(self.bundle, version))

    def processor_s(self) -> float:
        """Seconds of processor time that the registry has used."""
        fields = Path(f"/proc/{self.registry}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """The registry's resident memory at its largest."""
        status = Path(f"/proc/{self.registry}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


@contextmanager
def own_fleet(bundle: Bundle, folder: Path) -> Iterator[Own]:
    """Runs a registry, whose channel offers nothing yet, and Mosquitto until the block is left.

    Raises:
        UsageError: there is no Mosquitto.
    """
    if find_mosquitto() is None:
        raise UsageError(
            "no mosquitto on PATH or in /usr/sbin, and the embedded broker does not hold a fleet; "
            "install mosquitto, or join a fleet that runs with --registry and --broker"
        )
    created = create(folder / "registry", folder / "keys", KeyCounts())
    token = folder / "token"
    token.write_text(Tokens(created.folder).add("pipeline", "push") + "\n")
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(start_broker(backend="mosquitto"))
        options = RegistryOptions(
            created.folder,
            port=0,
            log_file=folder / "registry.log",
            broker=open_broker(broker.address, None, None, None),
        )
        registry = stack.enter_context(start_registry(options))
        place = Place(
            registry.url, created.trusted_root, bundle.manifest.name, CHANNEL, broker.address
        )
        target = RegistryTarget(
            registry.url,
            str(token),
            (str(created.targets_keys[0]),),
            str(created.trusted_root),
            CHANNEL,
        )
        yield Own(place, target, bundle, registry.process.pid)
