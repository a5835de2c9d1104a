"""classify and regress: JSON examples to ``tf.train.Example``, and results back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.example.feature_pb2 import Feature

from serving.embedded.errors import invalid
from serving.embedded.json_document import kind, quote
from serving.embedded.request_tensors import bytes_from_base64
from serving.embedded.response_tensors import floats_to_json
from serving.embedded.saved_model import DEFAULT_SIGNATURE, SavedModel, Signature

# Names of the tensors that the contract asks such signatures to have.
_INPUTS = "inputs"
_CLASSES = "classes"
_SCORES = "scores"
_REGRESSION = "outputs"


def examples_from_document(document: dict[str, Any]) -> np.ndarray:
    """Serialized Examples, shape ``[batch]``; features of `context` are added where missing."""
    if "examples" not in document:
        # The real server says "classify" for regress, too.
        raise invalid(
            f"JSON Value: {quote(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    context = document.get("context", {})
    if not isinstance(context, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind(context)}")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {quote(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {quote(document)} 'examples' value is an empty array")
    return np.array([_example(example, context) for example in examples], np.object_)


def _example(features: Any, context: dict[str, Any]) -> bytes:
    if not isinstance(features, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind(features)}")
    example = Example()
    for name, value in {**context, **features}.items():
        _fill(example.features.feature[name], name, value)
    return example.SerializeToString()


def _fill(feature: Feature, name: str, value: Any) -> None:
    values = value if isinstance(value, list) else [value]
    if not values:
        return
    types = {_feature_type(name, item) for item in values}
    if len(types) > 1:
        first = _feature_type(name, values[0])
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {first}")
    try:
        if types == {"float"}:
            feature.float_list.value.extend(values)
        elif types == {"int64"}:
            feature.int64_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(_feature_bytes(item) for item in values)
    except ValueError as error:  # an integer beyond 64 bits
        raise invalid(f"Feature: {name}: {error}") from error


def _feature_type(name: str, value: Any) -> str:
    if isinstance(value, str | dict):
        return "string"
    if isinstance(value, float):
        return "float"
    if type(value) is int:
        return "int64"
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind(value)}")


def _feature_bytes(value: str | dict[str, Any]) -> bytes:
    if isinstance(value, dict):
        return bytes_from_base64(value)
    return value.encode("utf-8", "surrogateescape")


def classify(model: SavedModel, signature_name: str, examples: np.ndarray) -> list[Any]:
    """For each example a list of ``[label, score]``; one of the two may be left empty."""
    signature = _example_signature(model, signature_name, "classification")
    definition = signature.definition
    if _CLASSES not in signature.outputs and _SCORES not in signature.outputs:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {definition}'
        )
    outputs = signature.run({_INPUTS: examples})
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    for name, tensor in ((_CLASSES, classes), (_SCORES, scores)):
        if tensor is not None and (tensor.ndim != 2 or len(tensor) != len(examples)):
            raise invalid(
                f"Expected Tensor '{name}' of shape [batch_size, num_classes] for a batch of "
                f"{len(examples)} but got {list(tensor.shape)}"
            )
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(
            f"Tensors 'classes' and 'scores' differ in shape: {list(classes.shape)} and "
            f"{list(scores.shape)}"
        )
    labels = _labels(classes, scores)
    values = floats_to_json(scores) if scores is not None else np.zeros(np.shape(labels)).tolist()
    return [
        [list(pair) for pair in zip(*row, strict=True)] for row in zip(labels, values, strict=True)
    ]


def _labels(classes: np.ndarray | None, scores: np.ndarray | None) -> list[list[str]]:
    if classes is None:
        assert scores is not None  # a signature has one of them, see above
        return np.full(scores.shape, "").tolist()
    return [[label.decode("utf-8", "surrogateescape") for label in row] for row in classes]


def regress(model: SavedModel, signature_name: str, examples: np.ndarray) -> list[float]:
    """One value for each example."""
    signature = _example_signature(model, signature_name, "regression")
    if _REGRESSION not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature.definition}")
    tensor = signature.run({_INPUTS: examples})[_REGRESSION]
    if tensor.shape not in ((len(examples),), (len(examples), 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] for a batch "
            f"of {len(examples)} but got {list(tensor.shape)}"
        )
    return floats_to_json(tensor.ravel())


def _example_signature(model: SavedModel, name: str, task: str) -> Signature:
    signature = model.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name or DEFAULT_SIGNATURE}")
    if list(signature.inputs) != [_INPUTS]:
        raise invalid(f"No {task} inputs found in SignatureDef: {signature.definition}")
    return signature


def examples_from_input(message: Any) -> np.ndarray:
    """Serialized Examples of a ``tensorflow.serving.Input``, as warm-up records carry them."""
    listed: Mapping[str, Any] = {
        "example_list": message.example_list,
        "example_list_with_context": message.example_list_with_context,
    }
    chosen = message.WhichOneof("kind")
    if chosen not in listed:
        raise invalid("a warm-up record of classify or regress without examples")
    merged = []
    for example in listed[chosen].examples:
        whole = Example()
        if chosen == "example_list_with_context":
            whole.CopyFrom(listed[chosen].context)
        for key, feature in example.features.feature.items():
            whole.features.feature[key].CopyFrom(feature)
        merged.append(whole.SerializeToString())
    return np.array(merged, np.object_)
