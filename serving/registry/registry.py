"""One registry: its parts, and what runs beside the requests while it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serving.registry.metrics import RegistryMetrics
from serving.registry.options import RegistryOptions
from serving.registry.renewal import Renewal
from serving.registry.repository import Repository
from serving.registry.store import Store
from serving.registry.tokens import Tokens


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
    services: tuple[Service, ...]  # started in this order, closed in the other


def open_registry(options: RegistryOptions) -> Registry:
    """Opens the folder of the options, after finishing or discarding what a kill left begun.

    Raises `UsageError` for a folder that is no registry's, or is damaged.
    """
    repository = Repository(options.folder)
    metrics = RegistryMetrics()
    store = Store(repository)
    return Registry(
        options=options,
        store=store,
        tokens=Tokens(options.folder),
        metrics=metrics,
        services=(Renewal(repository),),
    )
