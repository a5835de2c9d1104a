"""What the client gets to read."""

from __future__ import annotations

import json
from typing import Any

from edge_client.payload import PAYLOADS
from edge_client.senml import Form
from serving.gateway.big import BigModel
from serving.gateway.tensorflow_serving import Answer


def classified(answer: Answer, model: str, form: Form) -> bytes:
    """The answer of `model`; who spoke the draft form gets the class's index in it as well."""
    values: dict[str, Any] = {
        "label": answer.label,
        "probabilities": dict(zip(answer.labels, answer.probabilities, strict=True)),
        "model": model,
    }
    if form is Form.DRAFT:
        values["e"] = [{"v": answer.labels.index(answer.label)}]
    return json.dumps(values).encode()


def described(model: BigModel, max_bytes: int) -> bytes:
    """What the big model takes; only labels and clip where it says no more of itself."""
    if model.description is not None:
        values = model.description.to_json()
    else:
        values = {
            "labels": list(model.labels),
            "sample_rate": model.sample_rate,
            "samples": model.samples,
        }
    has_features = model.description is not None
    payloads = [each for each in PAYLOADS if has_features or not each.startswith("features")]
    return json.dumps({**values, "payloads": payloads, "max_bytes": max_bytes}).encode()


def refused(message: str, request_id: str) -> bytes:
    """Why there is no answer, and under which id the log knows it."""
    return json.dumps({"error": message, "request_id": request_id}).encode()
