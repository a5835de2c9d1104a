"""What the gateway is asked to do, checked before anything is started."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from serving.options import MODEL_NAME, ServeOptions, UsageError, plain_url

MAX_BATCH = 1024
MAX_IN_FLIGHT = 64
MAX_QUEUE = 100_000
MAX_BODY_BYTES = 16 * 2**20  # what edge_client.senml parses at most
MAX_SECONDS = 3600


@dataclass(frozen=True)
class GatewayOptions:
    """One gateway: before a running server (`backend`), or one of its own for `model_folder`.

    `timeout_s` is what a client waits at most once its request is received; `patience_s` what the
    backend may take at the start. `port` 0 picks a free one.
    """

    model_folder: Path | None = None
    backend: str = ""
    name: str = ""
    slow: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    max_batch: int = 32
    in_flight: int = 2
    queue: int = 256
    timeout_s: float = 5.0
    max_bytes: int = 4 * 2**20
    patience_s: float = 30.0
    token_file: Path | None = None
    log_file: Path | None = None

    def checked(self) -> GatewayOptions:
        """The same with the default name and a plain URL. Raises `UsageError`."""
        if (self.model_folder is None) == (not self.backend):
            raise UsageError("name either a model folder or the --backend, not both or neither")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port {self.port}: a port is between 0 and 65535")
        _check_range("--max-batch", self.max_batch, 1, MAX_BATCH)
        _check_range("--in-flight", self.in_flight, 1, MAX_IN_FLIGHT)
        _check_range("--queue", self.queue, 1, MAX_QUEUE)
        _check_range("--timeout", self.timeout_s, 0.1, MAX_SECONDS)
        _check_range("--patience", self.patience_s, 0, MAX_SECONDS)
        _check_range("--max-bytes", self.max_bytes, 1024, MAX_BODY_BYTES)
        if self.model_folder is not None:
            served = ServeOptions(self.model_folder, self.name).checked()
            return replace(self, model_folder=served.model_folder, name=served.name)
        name = self.name or "big"
        if not MODEL_NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a model's name; set one with --name")
        return replace(self, backend=plain_url("--backend", self.backend), name=name)


def _check_range(flag: str, value: float, lowest: float, highest: float) -> None:
    if not (math.isfinite(value) and lowest <= value <= highest):
        raise UsageError(f"{flag} {value:g}: {lowest:g} to {highest:g} are taken")
