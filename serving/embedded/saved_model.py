"""A SavedModel loaded for serving: its signatures as callables.

The graph runs in a session, fed by tensor name, as TensorFlow Serving runs it. So static shapes are
not checked against what a client sends, and messages of failing operations are the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import config_pb2

from serving.embedded.dtypes import TensorSpec
from serving.embedded.errors import Code, ServingError, not_found

DEFAULT_SIGNATURE = "serving_default"
RUN_TIMEOUT_S = 30  # as the real server's --rest_api_timeout_in_ms


class Signature:
    """One signature of a model: named tensors in, named tensors out.

    The callable of the session is made on first use; making it prepares the part of the graph that
    the signature needs.
    """

    def __init__(self, session: Any, definition: Any) -> None:
        self.definition = definition
        self.inputs = _specs(definition.inputs)
        self.outputs = _specs(definition.outputs)
        self._session = session
        self._callable: Any = None
        self._preparing = threading.Lock()
        # A session refuses to fetch one tensor twice, but two outputs may be the same tensor.
        self._fetches = sorted({spec.tensor_name for spec in self.outputs.values()})

    @property
    def has_float64_input(self) -> bool:
        return any(spec.dtype == "double" for spec in self.inputs.values())

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name. Raises `ServingError` with TensorFlow's message."""
        try:
            fetched = self._prepared()(*(feeds[key] for key in self.inputs))
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from error
        values = dict(zip(self._fetches, fetched, strict=True))
        return {
            key: _as_array(values[spec.tensor_name], spec) for key, spec in self.outputs.items()
        }

    def _prepared(self) -> Any:
        if self._callable is None:
            with self._preparing:
                if self._callable is None:
                    options = config_pb2.CallableOptions()
                    options.feed.extend(spec.tensor_name for spec in self.inputs.values())
                    options.fetch.extend(self._fetches)
                    options.run_options.timeout_in_ms = RUN_TIMEOUT_S * 1000
                    # The public make_callable wants tensors, and cannot be given a time limit.
                    self._callable = self._session._make_callable_from_options(options)
        return self._callable


class SavedModel:
    """The signatures of one version of a model, and the session they run in."""

    def __init__(self, session: Any, signature_defs: Mapping[str, Any]) -> None:
        self._session = session
        self.signatures = {key: Signature(session, value) for key, value in signature_defs.items()}
        self.signature_defs_json = {
            key: MessageToDict(
                value, including_default_value_fields=True, preserving_proto_field_name=True
            )
            for key, value in signature_defs.items()
        }

    def signature(self, name: str) -> Signature:
        """The signature `name` (the default one where empty). Raises INVALID_ARGUMENT."""
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def',
            )
        return found

    def close(self) -> None:
        self._session.close()


def load(folder: Path) -> SavedModel:
    """Loads the SavedModel in `folder`. Raises `ServingError` saying what is wrong with it."""
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise not_found(f"{folder} holds no saved_model.pb: it is no SavedModel, or not complete")
    # Threads of its own keep a slow model from holding up the others in this process.
    config = config_pb2.ConfigProto(use_per_session_threads=True)
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    try:
        with session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder))
        session.graph.finalize()
        return SavedModel(session, meta_graph.signature_def)
    except Exception as error:  # a broken model makes TensorFlow raise nearly anything
        session.close()
        code = Code(error.error_code) if isinstance(error, tf.errors.OpError) else Code.UNKNOWN
        raise ServingError(code, f"{folder}: {_first_line(error)}") from error


def _specs(tensor_infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        key: TensorSpec(info.name, _dtype_name(info.dtype))
        for key, info in sorted(tensor_infos.items())
    }


def _dtype_name(dtype: int) -> str:
    """TensorFlow's C++ name of a type, which its messages and ours use."""
    if dtype == 0:
        return "invalid"
    python_name = tf.dtypes.as_dtype(dtype).name
    return {"float32": "float", "float64": "double", "float16": "half"}.get(
        python_name, python_name
    )


def _as_array(value: Any, spec: TensorSpec) -> np.ndarray:
    """Scalars come out of a session as Python objects."""
    return np.asarray(value, np.object_ if spec.dtype == "string" else None)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
