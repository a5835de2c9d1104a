"""predict, classify and regress: from the bytes of a request to those of its answer.

All of this is bound to the processor, so it runs in worker threads and never in the event loop.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.embedded import examples
from serving.embedded.errors import Code, ServingError, TooLargeError, invalid
from serving.embedded.json_document import parse, parse_with_rapidjson_numbers, quote
from serving.embedded.metrics import ServerMetrics
from serving.embedded.request_tensors import feeds_from_document
from serving.embedded.response_tensors import columns_to_json, dump, rows_to_json
from serving.embedded.saved_model import SavedModel, Signature
from serving.embedded.versions import VersionManager

MAX_BODY_BYTES = 64_000_000


@dataclass(frozen=True)
class ModelTarget:
    """Which model a path names; the newest version where neither number nor label is given."""

    name: str
    version: int | None = None
    label: str | None = None


class Inference:
    """Answers requests with the models that `manager` has loaded."""

    def __init__(self, manager: VersionManager, metrics: ServerMetrics) -> None:
        self._manager = manager
        self._metrics = metrics
        self._methods: dict[str, Callable[[ModelTarget, bytes], bytes]] = {
            "predict": self._predict,
            "classify": self._classify,
            "regress": self._regress,
        }

    def answer(self, method: str, target: ModelTarget, body: bytes, gzipped: bool) -> bytes:
        """The JSON of a 200 answer. Raises `ServingError`; its message goes to the client."""
        started = time.monotonic()
        status = Code.INTERNAL.name
        try:
            answer = self._methods[method](target, _gunzip(body) if gzipped else body)
            status = Code.OK.name
            return answer
        except ServingError as error:
            status = error.code.name
            raise
        finally:
            known = target.name if self._manager.serves(target.name) else ""
            self._metrics.request_count.add(known, status)
            self._metrics.request_latency.observe(
                known, method, "REST", seconds=time.monotonic() - started
            )

    def _predict(self, target: ModelTarget, body: bytes) -> bytes:
        document = _document(body)
        name = _signature_name(document)
        with self._manager.lease(target.name, target.version, target.label) as (_, model):
            signature = model.signature(name)
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {name}")
            feeds, by_rows = feeds_from_document(document, signature.inputs)
            if _numbers_matter(signature, feeds):
                document = parse_with_rapidjson_numbers(body)
                feeds, by_rows = feeds_from_document(document, signature.inputs)
            outputs = self._timed(target.name, "predict", lambda: signature.run(feeds))
        if by_rows:
            return dump({"predictions": rows_to_json(outputs, signature.outputs)})
        return dump({"outputs": columns_to_json(outputs, signature.outputs)})

    def _classify(self, target: ModelTarget, body: bytes) -> bytes:
        return self._on_examples("classify", examples.classify, target, body)

    def _regress(self, target: ModelTarget, body: bytes) -> bytes:
        return self._on_examples("regress", examples.regress, target, body)

    def _on_examples(
        self,
        api: str,
        run: Callable[[SavedModel, str, np.ndarray], list[Any]],
        target: ModelTarget,
        body: bytes,
    ) -> bytes:
        document = _document(body)
        name = _signature_name(document)
        batch = examples.examples_from_document(document)
        with self._manager.lease(target.name, target.version, target.label) as (_, model):
            results = self._timed(target.name, api, lambda: run(model, name, batch))
        return dump({"results": results})

    def _timed(self, name: str, api: str, run: Callable[[], Any]) -> Any:
        started = time.monotonic()
        outputs = run()
        seconds = time.monotonic() - started
        self._metrics.runtime_latency.observe(name, api, "TF1", seconds=seconds)
        return outputs


def _document(body: bytes) -> dict[str, Any]:
    document = parse(body)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {quote(document)} Is not object")
    return document


def _signature_name(document: dict[str, Any]) -> str:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {quote(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    return name


def _numbers_matter(signature: Signature, feeds: dict[str, np.ndarray]) -> bool:
    """Whether the fast parser's rounding could show, or it could have let an overflow pass."""
    return signature.has_float64_input or any(
        np.isinf(tensor).any() for tensor in feeds.values() if tensor.dtype == np.float32
    )


def _gunzip(body: bytes) -> bytes:
    """The document in a gzip body; what is no gzip counts as empty, as in the real server."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        document = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        return b""
    if len(document) > MAX_BODY_BYTES:
        raise TooLargeError(MAX_BODY_BYTES)
    return document if unpacker.eof else b""
