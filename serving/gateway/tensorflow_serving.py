"""Asks TensorFlow Serving over its REST interface, and takes nothing it answers on trust."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.connector import Connection

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
KEEP_S = 5.0  # an idle connection, for who knows what has become of the other end
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
    is not an answer. It belongs to the event loop that runs when it is made.
    """

    def __init__(self, url: str, name: str, timeout_s: float) -> None:
        self.url, self.name = url, name
        self._model = f"{url}/v1/models/{quote(name, safe='')}"
        self._timeout_s = timeout_s
        self._session = ClientSession(
            # A new connection is seldom, and then the server may have moved: no names are kept.
            connector=TCPConnector(keepalive_timeout=KEEP_S, use_dns_cache=False),
            cookie_jar=DummyCookieJar(),
            request_class=_Request,
            # A proxy that the environment names has no business between two servers.
            trust_env=False,
            # What is not unpacked cannot grow to more than was bargained for.
            headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

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
        return await self._exchange("GET", path, None, LOOK_TIMEOUT_S)

    async def _exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Any:
        """The JSON of the answer to one request."""
        try:
            response, content = await self._send_up_to_twice(method, path, body, timeout_s)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise AwayError(f"nobody answers at {self.url}") from error
        except asyncio.TimeoutError as error:
            raise TooSlowError("the model takes too long to answer") from error
        except ClientConnectionError as error:
            raise self._nonsense("it hung up before an answer began") from error
        except ClientError as error:
            said = error.message if isinstance(error, ClientResponseError) else str(error)
            # What follows the colon are details over several lines.
            raise self._nonsense(said.partition(":")[0]) from error
        if response.status != 200:
            raise self._refusal(response, content)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._nonsense("no JSON") from error

    async def _send_up_to_twice(
        self, method: str, path: str, body: bytes | None, timeout_s: float
    ) -> tuple[ClientResponse, bytes]:
        """Sends a request, and once more where the connection breaks before an answer begins.

        A kept connection may turn out to have been closed meanwhile, and asking again does no harm.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try:
            return await self._send(method, path, body, timeout_s)
        except (ClientConnectorError, asyncio.TimeoutError):
            raise
        except ClientConnectionError:
            left_s = deadline - loop.time()
            if method == "GET" or left_s <= 0:  # aiohttp itself asks again for GET
                raise
            return await self._send(method, path, body, left_s)

    async def _send(
        self, method: str, path: str, body: bytes | None, timeout_s: float
    ) -> tuple[ClientResponse, bytes]:
        # aiohttp would round the time-out up to whole seconds, and warns of more than 1 MiB in one
        # piece, which a batch may be.
        timeout = ClientTimeout(timeout_s, connect=CONNECT_TIMEOUT_S, ceil_threshold=math.inf)
        data = None if body is None else io.BytesIO(body)
        content = bytearray()
        async with self._session.request(
            method, f"{self._model}{path}", data=data, timeout=timeout, allow_redirects=False
        ) as response:
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise self._nonsense(f"more than {MAX_ANSWER_BYTES} bytes")
        return response, bytes(content)

    def _refusal(self, response: ClientResponse, content: bytes) -> GatewayError:
        status, said = response.status, _error_text(content)
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


class _Request(ClientRequest):
    """A request that is not sent where an answer is already there."""

    async def send(self, conn: Connection) -> ClientResponse:
        # What came unasked over a kept connection, aiohttp takes for the answer to this (its issue
        # 13656).
        if conn.protocol is None or conn.protocol.should_close:
            raise ServerDisconnectedError("something came that nobody asked for")
        return await super().send(conn)


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


def _retry_after_s(response: ClientResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 4 else _RETRY_AFTER_S
