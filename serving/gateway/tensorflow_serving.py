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

import httpx

from serving.gateway.errors import (
    AwayError,
    BusyError,
    GatewayError,
    MalformedError,
    NonsenseError,
    TooSlowError,
)

AUDIO, FEATURES, SPECIFICATION = "serving_default", "features", "specification"
CONNECT_TIMEOUT_S = 2.0
LOOK_TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 16_000_000
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

    def __init__(self, url: str, name: str, timeout_s: float, connections: int) -> None:
        self.url, self.name = url, name
        self._model = f"{url}/v1/models/{quote(name, safe='')}"
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            # A proxy that the environment names has no business between two servers.
            trust_env=False,
            limits=httpx.Limits(
                max_connections=connections + 1, max_keepalive_connections=connections + 1
            ),
            # What is not packed cannot unpack to more than was bargained for.
            headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def newest_version(self) -> int:
        """The number of the newest version that is served."""
        status = await self._get(self._model)
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
        metadata = await self._get(f"{self._model}/versions/{version}/metadata")
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
        answer = await self._exchange(
            "POST", f"{self._model}{which}:predict", body, self._timeout_s
        )
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list) or len(predictions) != count:
            raise self._nonsense(f"not the {count} predictions asked for")
        return predictions

    async def _get(self, url: str) -> Any:
        return await self._exchange("GET", url, None, LOOK_TIMEOUT_S)

    async def _exchange(self, method: str, url: str, body: bytes | None, timeout_s: float) -> Any:
        """The JSON of the answer to one request.

        Asking again does no harm, so it does, once, where the connection breaks before the answer
        is there: a kept one may turn out to have been closed meanwhile.
        """
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        request = self._client.build_request(method, url, content=body, timeout=timeout)
        try:
            # httpx' own time-outs are for each read, and an answer may drip.
            response, content = await asyncio.wait_for(
                self._send_twice(request), timeout_s + CONNECT_TIMEOUT_S
            )
        except asyncio.TimeoutError as error:
            raise TooSlowError("the model takes too long to answer") from error
        except httpx.ConnectTimeout as error:
            raise AwayError(f"nobody answers at {self.url}") from error
        except httpx.TimeoutException as error:
            raise TooSlowError("the model takes too long to answer") from error
        except httpx.NetworkError as error:
            raise AwayError(f"nobody answers at {self.url}") from error
        except httpx.HTTPError as error:
            raise self._nonsense(str(error) or type(error).__name__) from error
        if response.status_code != 200:
            raise self._refusal(response, content)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._nonsense("no JSON") from error

    async def _send_twice(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        try:
            return await self._send(request)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            return await self._send(request)

    async def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        response = await self._client.send(request, stream=True)
        try:
            chunks, size = [], 0
            async for chunk in response.aiter_raw():
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise self._nonsense(f"more than {MAX_ANSWER_BYTES} bytes")
        finally:
            await response.aclose()
        return response, b"".join(chunks)

    def _refusal(self, response: httpx.Response, content: bytes) -> GatewayError:
        status, said = response.status_code, _error_text(content)
        if status == 400:
            return MalformedError(f"the model refuses it: {said}")
        if status == 404:
            return GoneError(f"the model {self.name!r} is not available at {self.url}")
        if status == 429:
            return BusyError("the model is busy; try again later", _retry_after_s(response))
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


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 4 else _RETRY_AFTER_S
