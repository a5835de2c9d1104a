"""Asks TensorFlow Serving over its REST interface, and takes nothing it answers on trust."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from serving.gateway.errors import (
    AwayError,
    BusyError,
    GatewayError,
    MalformedError,
    NonsenseError,
    TooSlowError,
)
from serving.gateway.http_client import HttpClient, NobodyThere
from serving.gateway.http_connection import ConnectionBroken, NoAnswer, Reply

AUDIO, FEATURES, SPECIFICATION = "serving_default", "features", "specification"
LOOK_TIMEOUT_S = 2.0
MAX_LABELS = 10_000
_RETRY_AFTER_S = 1.0  # where the backend is busy and does not say for how long


class GoneError(AwayError):
    """The backend answers, and has no such model or version."""


@dataclass(frozen=True)
class Answer:
    """What the model says about one recording; `labels` are in the order of `probabilities`."""

    label: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


class TensorFlowServing:
    """One model behind TensorFlow Serving's REST interface.

    Every method raises `AwayError` where nobody answers or the model is not there, `TooSlowError`
    and `BusyError` where the backend says so or takes too long, and `NonsenseError` for whatever
    is not an answer. It belongs to the event loop it is first used in.
    """

    def __init__(self, url: str, name: str, timeout_s: float) -> None:
        self.url, self.name = url, name
        self._model = f"/v1/models/{quote(name, safe='')}"
        self._timeout_s = timeout_s
        self._client = HttpClient(url)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    async def newest_version(self) -> int:
        """The number of the newest version that is served."""
        status = await self._get("")
        try:
            versions = [
                int(each["version"])
                for each in status["model_version_status"]
                if each["state"] == "AVAILABLE"
            ]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._nonsense("no status of a model") from error
        if not versions:
            raise GoneError(f"the model {self.name!r} is not available at {self.url}")
        return max(versions)

    async def signatures(self, version: int) -> frozenset[str]:
        """The names of a version's signatures."""
        metadata = await self._get(f"/versions/{version}/metadata")
        try:
            return frozenset(metadata["metadata"]["signature_def"]["signature_def"])
        except (KeyError, TypeError) as error:
            raise self._nonsense("no metadata of a model") from error

    async def specification(self, version: int) -> Any:
        """What a version says of itself: the JSON of its `specification`, not checked further."""
        body = json.dumps({"signature_name": SPECIFICATION, "instances": ["?"]}).encode()
        (row,) = await self._predictions(version, body, 1)
        try:
            return json.loads(row[SPECIFICATION] if isinstance(row, dict) else row)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise self._nonsense("a specification that is not JSON") from error

    async def classify(
        self, inputs: Sequence[bytes], signature: str = AUDIO, version: int | None = None
    ) -> list[Answer]:
        """Asks about a batch; an answer for each input, in order.

        Args:
            inputs: 16-bit PCM for `AUDIO`, quantised features for `FEATURES`.
            signature: one of the two.
            version: of the model; the newest where it is left out.

        Raises:
            MalformedError: one of the inputs is refused, and the whole batch with it.
        """
        # By hand, for base64 needs no escaping and a batch is more than a megabyte.
        rows = b'"},{"b64":"'.join(map(base64.b64encode, inputs))
        name = signature.encode("ascii")
        body = b'{"signature_name":"%b","instances":[{"b64":"%b"}]}' % (name, rows)
        predictions = await self._predictions(version, body, len(inputs))
        try:
            return [_answer(each) for each in predictions]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._nonsense("predictions without label, labels, probabilities") from error

    async def _predictions(self, version: int | None, body: bytes, count: int) -> list[Any]:
        which = f"/versions/{version}" if version is not None else ""
        answer = await self._exchange("POST", f"{which}:predict", body, self._timeout_s)
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list) or len(predictions) != count:
            raise self._nonsense(f"not the {count} predictions asked for")
        return predictions

    async def _get(self, path: str) -> Any:
        return await self._exchange("GET", path, b"", LOOK_TIMEOUT_S)

    async def _exchange(self, method: str, path: str, body: bytes, timeout_s: float) -> Any:
        """The JSON of the answer to one request."""
        try:
            reply = await self._client.exchange(method, f"{self._model}{path}", body, timeout_s)
        except asyncio.TimeoutError as error:
            raise TooSlowError("the model takes too long to answer") from error
        except NobodyThere as error:
            raise AwayError(f"nobody answers at {self.url}") from error
        except (ConnectionBroken, NoAnswer) as error:
            raise self._nonsense(str(error)) from error
        if reply.status != 200:
            raise self._refusal(reply)
        try:
            return json.loads(reply.content)
        except (ValueError, RecursionError) as error:
            raise self._nonsense("no JSON") from error

    def _refusal(self, reply: Reply) -> GatewayError:
        status, said = reply.status, _error_text(reply.content)
        if status == 400:
            return MalformedError(f"the model refuses it: {said}")
        if status == 404:
            return GoneError(f"the model {self.name!r} is not available at {self.url}")
        if status == 429:
            return BusyError("the model is busy; try again later", _retry_after_s(reply))
        if status == 503:
            return AwayError(f"the model's server refuses work at the moment: {said}")
        if status == 504:
            return TooSlowError("the model takes too long to answer")
        return self._nonsense(f"status {status}: {said}")

    def _nonsense(self, what: str) -> NonsenseError:
        return NonsenseError(f"the model's server gave no answer that makes sense: {what}")


def _answer(row: dict[str, Any]) -> Answer:
    """A row of predictions; KeyError, TypeError, ValueError or OverflowError where it is none."""
    labels, probabilities = tuple(row["labels"]), tuple(map(float, row["probabilities"]))
    if not 0 < len(labels) <= MAX_LABELS or len(labels) != len(probabilities):
        raise ValueError("labels and probabilities do not fit together")
    if not all(isinstance(label, str) for label in labels) or row["label"] not in labels:
        raise ValueError("a label that is none of the labels")
    if not all(map(math.isfinite, probabilities)):
        raise ValueError("a probability that is no number")
    return Answer(row["label"], labels, probabilities)


def _error_text(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no reason given"


def _retry_after_s(reply: Reply) -> float:
    text = reply.headers.get(b"retry-after", b"")
    return float(text) if text.isdigit() and len(text) <= 4 else _RETRY_AFTER_S
