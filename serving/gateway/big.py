"""Which big model is there at the moment, what it takes, and its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from edge_client.big.description import BigDescription
from edge_client.errors import EdgeError
from serving.gateway.errors import (
    AwayError,
    GatewayError,
    MalformedError,
    NonsenseError,
    SpecificationError,
)
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.request_log import log
from serving.gateway.tensorflow_serving import (
    FEATURES,
    SPECIFICATION,
    Answer,
    GoneError,
    TensorFlowServing,
)

LOOK_EVERY_S = 1.0
# What a model without a description takes: the raw audio of components.graph_frontend.
SAMPLE_RATE, SAMPLES = 16_000, 16_000


@dataclass(frozen=True)
class BigModel:
    """One version of the big model; without a `description` it takes audio only."""

    version: int
    labels: tuple[str, ...]
    description: BigDescription | None

    @property
    def sample_rate(self) -> int:
        """Hz of the audio it takes."""
        return self.description.sample_rate if self.description else SAMPLE_RATE

    @property
    def samples(self) -> int:
        """Of one clip."""
        return self.description.samples if self.description else SAMPLES


class Big:
    """The big model of the moment, looked at again and again."""

    def __init__(self, serving: TensorFlowServing, metrics: GatewayMetrics) -> None:
        self._serving = serving
        self._metrics = metrics
        self._model: BigModel | None = None
        self._looking = asyncio.Lock()
        self.ready = False

    @property
    def name(self) -> str:
        """What the backend calls it."""
        return self._serving.name

    @property
    def model(self) -> BigModel:
        """As it was when last seen. Raises `AwayError` where it never was."""
        if self._model is None:
            raise AwayError(f"the model {self.name!r} was never available at {self._serving.url}")
        return self._model

    async def look(self) -> None:
        """Finds out what is there; raises `GatewayError` where nothing is that takes audio."""
        async with self._looking:
            try:
                version = await self._serving.newest_version()
                if not (self.ready and self._model and self._model.version == version):
                    self._model = await self._read(version)
                    fields = {"version": version, "features": bool(self._model.description)}
                    log.info("the model is there", extra={"fields": fields})
                self._set_ready(True)
            except GatewayError as error:
                if self.ready or self._model is None:
                    log.warning("the model is away: %s", error)
                self._set_ready(False)
                raise

    async def watch(self) -> None:
        """Looks again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except GatewayError:
                continue  # `look` took note of it
            except Exception:
                log.exception("looking at the model failed")

    async def answer(self, specification: str | None, inputs: Sequence[bytes]) -> list[Answer]:
        """Asks about a batch of one kind.

        Args:
            specification: of the features in `inputs`; None where they are 16-bit PCM.
            inputs: one for each recording.

        Raises:
            SpecificationError: the model takes other features, or none.
            GatewayError: as `TensorFlowServing.classify`.
        """
        if specification is None:
            return await self._serving.classify(inputs)
        # Of the version that was described, for the newest may take other features by now.
        check_specification(self.model, specification)
        try:
            return await self._serving.classify(inputs, FEATURES, self.model.version)
        except GoneError:
            await self.look()
            check_specification(self.model, specification)
            return await self._serving.classify(inputs, FEATURES, self.model.version)

    async def _read(self, version: int) -> BigModel:
        description = None
        if {FEATURES, SPECIFICATION} <= await self._serving.signatures(version):
            try:
                values = await self._serving.specification(version)
                description = BigDescription.from_json(values, "specification")
            except (EdgeError, MalformedError, NonsenseError) as error:
                log.warning("the model is served without features: %s", error)
        samples = description.samples if description else SAMPLES
        try:
            # A second of silence shows that it takes audio, and warms it up.
            (silence,) = await self._serving.classify([bytes(2 * samples)], version=version)
        except MalformedError as error:
            raise NonsenseError(f"the model {self.name!r} takes no audio: {error}") from error
        if description is not None and description.labels != silence.labels:
            log.warning("the model is served without features: its labels are not as described")
            description = None
        return BigModel(version, silence.labels, description)

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready
        self._metrics.ready.set(ready)


def check_specification(model: BigModel, specification: str) -> None:
    """Raises `SpecificationError` unless the model takes features of this specification."""
    if model.description is None:
        raise SpecificationError("this big model takes no features; send audio")
    if specification != model.description.specification:
        raise SpecificationError(
            f"features of specification {specification!r}, where the big model takes "
            f"{model.description.specification!r}; read /v1/description again"
        )
