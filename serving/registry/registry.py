"""One registry: its parts, and what runs beside the requests while it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge_client.fleet.channel import ChannelState
from edge_client.fleet.topics import Topics
from serving.options import UsageError
from serving.registry.coursework.added import Added
from serving.registry.coursework.monitoring import Monitoring
from serving.registry.devices.announcer import Announcer
from serving.registry.devices.devices import Devices
from serving.registry.devices.measurements import Measurements
from serving.registry.fleet_metrics import FleetMetrics
from serving.registry.metrics import RegistryMetrics
from serving.registry.options import RegistryOptions
from serving.registry.rollouts.rollouts import Rollouts
from serving.registry.tokens import Tokens
from serving.registry.tuf.renewal import Renewal
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.store import Store


class Service(Protocol):
    """Something that runs beside the requests, in a thread of its own."""

    def start(self) -> None:
        """Begins; returns at once."""

    def close(self) -> None:
        """Ends, within seconds."""


@dataclass(frozen=True)
class Registry:
    """The parts of one registry."""

    options: RegistryOptions
    store: Store
    tokens: Tokens
    metrics: RegistryMetrics
    announcer: Announcer
    devices: Devices
    rollouts: Rollouts
    measurements: Measurements
    added: Added  # plain models, ...
    monitoring: Monitoring  # ... and what is done with them here
    services: tuple[Service, ...]  # started in this order, closed in the other


def open_registry(options: RegistryOptions) -> Registry:
    """Opens the folder of the options, after finishing or discarding what a kill left begun.

    Raises `UsageError` for a folder that is no registry's, is damaged, or cannot be written, and
    `EdgeError` for a broker's CA or a prefix of topics that cannot be used.
    """
    repository = Repository(options.folder)
    metrics = RegistryMetrics()
    store = Store(repository)
    state = options.folder / "state"
    try:
        state.mkdir(exist_ok=True)
        devices = Devices(state)
        announcer = Announcer(options.broker, Topics(options.prefix), devices)
        _announce_from(store, announcer)
        rollouts = Rollouts(state, store, devices)
        measurements = Measurements(state)
    except OSError as error:
        raise UsageError(f"{state}: {error.strerror or error}") from error
    metrics.collectors.register(FleetMetrics(devices, rollouts, repository))
    monitoring = Monitoring(options.sensor, options.broker, options.prefix)
    return Registry(
        options=options,
        store=store,
        tokens=Tokens(options.folder),
        metrics=metrics,
        announcer=announcer,
        devices=devices,
        rollouts=rollouts,
        measurements=measurements,
        added=Added(options.folder),
        monitoring=monitoring,
        services=(Renewal(repository), devices, announcer, rollouts, monitoring),
    )


def _announce_from(store: Store, announcer: Announcer) -> None:
    """Announces what the channels offer, now and whenever one moves."""

    def announce(state: ChannelState, serial: int) -> None:
        announcer.announce(state.model, state.channel, state.version, serial)

    for state in store.channels():
        announce(state, store.serial)
    store.listeners.append(announce)
