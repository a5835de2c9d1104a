"""Runs a newly loaded model before it answers anybody: the first run of a graph is the slowest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from serving.embedded.dtypes import INPUT_TYPES
from serving.embedded.errors import ServingError
from serving.embedded.examples import classify, examples_from_input, regress
from serving.embedded.saved_model import SavedModel, Signature

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000
MAX_ELEMENTS = 1_000_000


def warm_up(model: SavedModel, folder: Path) -> None:
    """Replays the model's own warm-up requests, or one row of zeros through each signature.

    Raises `ServingError` when a recorded request fails: then the version does not do what its
    maker saw it do.
    """
    recorded = folder / WARMUP_FILE
    if recorded.is_file():
        _replay(model, recorded)
        return
    for signature in model.signatures.values():
        zeros = _zeros(signature)
        if zeros is not None:
            try:
                signature.run(zeros)
            except ServingError:
                continue  # many graphs rightly refuse zeros; they are prepared all the same


def _replay(model: SavedModel, path: Path) -> None:
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    for record in tf.data.TFRecordDataset(str(path)).take(MAX_RECORDS).as_numpy_iterator():
        log = PredictionLog.FromString(record)
        if log.HasField("predict_log"):
            request = log.predict_log.request
            feeds = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            model.signature(request.model_spec.signature_name).run(feeds)
        elif log.HasField("classify_log"):
            _replay_examples(classify, model, log.classify_log.request)
        elif log.HasField("regress_log"):
            _replay_examples(regress, model, log.regress_log.request)


def _replay_examples(method: Any, model: SavedModel, request: Any) -> None:
    method(model, request.model_spec.signature_name, examples_from_input(request.input))


def _zeros(signature: Signature) -> dict[str, np.ndarray] | None:
    """One row of zeros for every input; None where a shape or a type is not known."""
    feeds = {}
    for key, spec in signature.inputs.items():
        shape = signature.definition.inputs[key].tensor_shape
        if shape.unknown_rank or spec.dtype not in INPUT_TYPES:
            return None
        dims = [1 if dim.size < 0 else dim.size for dim in shape.dim]
        if np.prod(dims, dtype=np.float64) > MAX_ELEMENTS:
            return None
        filler = b"" if spec.dtype == "string" else 0
        feeds[key] = np.full(dims, filler, INPUT_TYPES[spec.dtype].numpy)
    return feeds or None
