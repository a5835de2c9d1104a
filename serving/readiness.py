"""Whether a server is up, by the REST contract's status call."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT_S = 2
MAX_ANSWER_BYTES = 1_000_000


def is_ready(url: str, model: str) -> bool:
    """Whether the server at `url` answers and a version of `model` is AVAILABLE.

    With an empty `model` any answer of the API will do.
    """
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}" if model else "/v1/models"
    try:
        with urllib.request.urlopen(url + path, timeout=TIMEOUT_S) as response:
            status = json.loads(response.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        return not model and error.code == 400
    except (OSError, ValueError):
        return False
    versions = status.get("model_version_status", [])
    return any(version.get("state") == "AVAILABLE" for version in versions)
