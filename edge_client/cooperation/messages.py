"""What nodes say: their predictions and that they are there, as SenML.

A prediction has a record for each label (``v``: its probability) and ``model`` (``vs``: name and
version of the bundle), under the base name ``<node>/``.  The drafts' form, which course nodes send,
is read as well: ``{"bn": node, "bt": …, "e": [{"n": label, "v": probability}, …]}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_client.errors import EdgeError
from edge_client.senml import Form, Record, SenmlError, parse, write

MAX_PREDICTION_BYTES = 64 * 1024
MAX_NODE_ID = 100
_MODEL = "model"
_RATIO = "/"  # the unit of probabilities (RFC 8428, section 12.1)
# int8 outputs and rounded ones miss 1 by a little for each label.
_SUMS = (0.5, 1.5)


class MessageError(EdgeError):
    """A message that is no prediction."""


class NotFiniteError(MessageError):
    """A prediction of NaN or infinity, which JSON has no number for."""


@dataclass(frozen=True)
class Prediction:
    """What one node says about one clip."""

    node: str
    scores: Mapping[str, float]  # a probability for each label, in the node's order
    model: str  # name and version, such as kws-a:1; empty where the node does not say


def write_prediction(
    node: str,
    model: str,
    labels: Sequence[str],
    scores: Sequence[float],
    time: float,
    form: Form = Form.JSON,
) -> bytes:
    """A prediction in SenML.

    Args:
        node: its id.
        model: name and version.
        labels: of the model.
        scores: a probability for each label.
        time: Unix seconds.
        form: the drafts' leaves the model out, for course clients take every entry for a label.

    Raises:
        SenmlError: a label that no SenML name can carry.
    """
    base = f"{node}/"
    records = [
        Record(base + label, time, _RATIO, round(float(score), 6))
        for label, score in zip(labels, scores, strict=True)
    ]
    if form is not Form.DRAFT:
        records.append(Record(base + _MODEL, time, "", model))
    return write(records, form, base)


def write_presence(node: str, model: str, time: float) -> bytes:
    """What a node retains on its topic while it is there."""
    return write([Record(f"{node}/{_MODEL}", time, "", model)], Form.JSON, f"{node}/")


def read_prediction(body: bytes) -> Prediction:
    """Reads a prediction in any form of SenML.

    Raises:
        NotFiniteError: NaN or infinity among its values.
        MessageError: too large, not SenML, of no node, or without probabilities.
    """
    if len(body) > MAX_PREDICTION_BYTES:
        raise MessageError(f"prediction: {len(body)} bytes; {MAX_PREDICTION_BYTES} are taken")
    try:
        pack = parse(body)
    except SenmlError as error:
        if b"NaN" in body or b"Infinity" in body:
            raise NotFiniteError("prediction: a value that is not finite") from None
        raise MessageError(f"prediction: {error}") from None
    base = _base_name(body, pack.form, pack.records[0].name)
    node = base.rstrip("/")
    if not node or len(node) > MAX_NODE_ID or not node.isprintable():
        raise MessageError("prediction: no node's id as its base name")
    model, scores = "", {}
    for record in pack.records:
        if not record.name.startswith(base):
            raise MessageError("prediction: of several nodes at once")
        label = record.name[len(base) :]
        if label == _MODEL and isinstance(record.value, str):
            model = record.value[:MAX_NODE_ID]
        elif isinstance(record.value, float) and label not in scores:
            scores[label] = record.value
        else:
            raise MessageError(f"prediction: no probability for {label[:40]!r}, or two")
    if min(scores.values(), default=-1) < 0 or not _SUMS[0] <= sum(scores.values()) <= _SUMS[1]:
        raise MessageError("prediction: values that are no probabilities")
    return Prediction(node, scores, model)


def _base_name(body: bytes, form: Form, name: str) -> str:
    if form is Form.DRAFT:
        # Course nodes end it as they like, so it cannot be told from the names.
        base = json.loads(body).get("bn", "")
        return base if isinstance(base, str) else ""
    node, slash, _ = name.partition("/")
    return node + slash if slash else ""
