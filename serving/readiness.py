"""Whether a server is up, by the REST contract's status call."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

TIMEOUT_S = 2
MAX_ANSWER_BYTES = 10_000_000

# A proxy that the environment names would be asked for this machine's own addresses, too.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get_json(url: str, timeout_s: float) -> Any:
    """The JSON at `url`, on this machine. Raises OSError or ValueError where there is none."""
    try:
        with _direct.open(url, timeout=timeout_s) as response:
            return json.loads(response.read(MAX_ANSWER_BYTES))
    except http.client.HTTPException as error:
        raise ValueError(f"{url}: no answer in HTTP ({type(error).__name__})") from error


def is_ready(url: str, model: str) -> bool:
    """Whether the server at `url` answers and a version of `model` is AVAILABLE.

    With an empty `model` any answer of the API will do.
    """
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}" if model else "/v1/models"
    try:
        status = get_json(url + path, TIMEOUT_S)
    except urllib.error.HTTPError as error:
        return not model and error.code == 400
    except (OSError, ValueError):
        return False
    try:
        return any(each["state"] == "AVAILABLE" for each in status["model_version_status"])
    except (KeyError, TypeError):  # somebody else's server
        return False
