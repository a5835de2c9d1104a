"""A registry over HTTP, for the commands: JSON in and out, and every failure in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serving.options import UsageError, plain_url

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 64 * 2**20
MAX_TOKEN_BYTES = 4096


class RegistryClient:
    """Asks one registry; a context manager. All methods raise `UsageError`."""

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        import httpx  # late: --help is to be instant

        self._url = plain_url("--registry", url)
        headers = {"Authorization": f"Bearer {read_token(token_file)}"} if token_file else {}
        # A proxy that the environment names would be asked for this machine's own addresses, too.
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        """What is there."""
        return self._ask("GET", path)

    def put(self, path: str, body: Any) -> Any:
        """The answer to `body`."""
        return self._ask("PUT", path, body)

    def post(self, path: str, body: Any = None) -> Any:
        """The answer to `body`; without one where it is None."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        import httpx

        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content is not None else {}
        try:
            with self._client.stream(
                method, self._url + path, content=content, headers=headers
            ) as response:
                data = b""
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise UsageError(f"{self._url}: its answer does not end")
        except httpx.HTTPError as error:
            text = str(error) or type(error).__name__
            raise UsageError(f"{self._url}: no answer ({text}); is it running?") from error
        try:
            answer = json.loads(data)
            if response.is_success:
                return answer
            raise UsageError(f"{self._url}: {answer['error']}")
        except (ValueError, LookupError, TypeError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"{self._url}: status {response.status_code}, and not the answer of a registry"
            ) from error


def read_token(file: Path) -> str:
    """The token of a file. Raises `UsageError` where there is none."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_TOKEN_BYTES).strip()
    except OSError as error:
        raise UsageError(f"{file}: the token cannot be read: {error.strerror}") from error
    if not (text.isascii() and text.decode("ascii").isprintable() and text and b" " not in text):
        raise UsageError(f"{file}: no token; `ml4iot-registry token add` prints one")
    return text.decode("ascii")
