"""The big model's answer, which is checked before anybody acts on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_client.deferral.policies import Float64
from edge_client.errors import EdgeError

# int8 models' softmax is off 1 by a few steps of 1/256.
_SUM_TOLERANCE = 0.1
_HIGHEST = 1 + 1e-6  # softmax in float32, written as a decimal


class AnswerError(EdgeError):
    """An answer that is none."""


def parse_json(data: bytes, name: str) -> Any:
    """JSON without NaN and infinities; raises :class:`AnswerError`."""
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise AnswerError(f"{name}: the answer is no JSON") from None


def parse_answer(data: bytes, labels: Sequence[str], name: str) -> Float64:
    """Probabilities out of ``{"probabilities": {label: p, …}, …}``.

    Args:
        data: the body of the answer.
        labels: those wanted, in their order; the answer must give these and no others.
        name: what error messages call the server.

    Returns:
        ``[labels]``.

    Raises:
        AnswerError: other labels, or numbers that are no probabilities.
    """
    values = parse_json(data, name)
    given = values.get("probabilities") if isinstance(values, dict) else None
    if not isinstance(given, dict) or set(given) != set(labels):
        raise AnswerError(f"{name}: the answer has no probabilities of these {len(labels)} labels")
    numbers = [given[label] for label in labels]
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise AnswerError(f"{name}: a probability that is no number")
    if not all(0 <= n <= _HIGHEST for n in numbers) or not abs(sum(numbers) - 1) <= _SUM_TOLERANCE:
        raise AnswerError(f"{name}: probabilities outside 0 to 1, or that do not add up to 1")
    return np.array(numbers, np.float64)


def said(data: bytes) -> str:
    """The server's own line about an error, in brackets; empty where there is none."""
    try:
        values = parse_json(data, "")
    except AnswerError:
        return ""
    line = values.get("error") if isinstance(values, dict) else None
    # Printable only: it goes to a terminal.
    return f" ({line[:120]})" if isinstance(line, str) and line.isprintable() else ""


def _no_constant(text: str) -> float:
    raise ValueError(text)
