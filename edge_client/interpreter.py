"""One TFLite model on one thread, with standardisation and quantisation fused into one step."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_client.bundle.manifest import Quantization, TensorQuantization
from edge_client.errors import EdgeError
from edge_client.features.spec import Standardisation

Float32 = npt.NDArray[np.float32]

# SystemError: a compiled part met a NumPy it was not made for.
_FAILURES = (ValueError, RuntimeError, SystemError)


class ModelError(EdgeError):
    """A model that does not run here, or is not what its manifest says."""


class Interpreter:
    """Runs a TFLite model with one input and one output, float32 outside whatever it is inside.

    Not safe for use by several threads at once.
    """

    def __init__(self, model: bytes, standardisation: Standardisation, name: str = "model") -> None:
        """Loads the model.

        Args:
            model: the TFLite file.
            standardisation: of the last axis of the input; it becomes part of quantisation.
            name: what error messages call the model.

        Raises:
            ModelError: LiteRT cannot run it, or it has other tensors than one in, one out, or the
                standardisation cannot be computed in float32.
        """
        self._name = name
        lite = litert()
        try:
            self._lite = lite(model_content=model, num_threads=1)
            self._lite.allocate_tensors()
        except _FAILURES as error:
            raise ModelError(f"{name}: LiteRT cannot load it ({_one_line(error)})") from None
        inputs, outputs = self._lite.get_input_details(), self._lite.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"{name}: {len(inputs)} inputs and {len(outputs)} outputs; one of each is wanted"
            )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.quantization = Quantization(_stored(inputs[0], name), _stored(outputs[0], name))
        self.input_shape = tuple(map(int, inputs[0]["shape"]))
        self.output_shape = tuple(map(int, outputs[0]["shape"]))
        self.input_size = int(np.prod(self.input_shape))
        self.output_size = int(np.prod(self.output_shape))
        width = len(standardisation.mean)
        if self.input_size % width:
            raise ModelError(f"{name}: an input of {self.input_size} values, not rows of {width}")
        # What is stored goes through these buffers; nothing but LiteRT allocates per call.
        self._real = np.empty((self.input_size // width, width), np.float32)
        self._stored = np.empty(inputs[0]["shape"], inputs[0]["dtype"])
        self._stored_rows = self._stored.reshape(self._real.shape)
        self._answer = np.empty(self.output_size, np.float32)
        self._fuse(standardisation)

    def __call__(self, rows: Float32) -> Float32:
        """Runs the model once.

        Args:
            rows: the input, not standardised, of any shape with as many values in the same order.

        Returns:
            The output, flat float32.  The array is the same for every call: copy what you keep.

        Raises:
            ModelError: an operation of the model fails.
        """
        real, quantised = self._real, self.quantization.input
        np.multiply(rows.reshape(real.shape), self._slope, out=real)
        np.add(real, self._offset, out=real)
        if quantised is not None:
            np.rint(real, out=real)
            np.maximum(real, self._lowest, out=real)  # np.clip takes three times as long
            np.minimum(real, self._highest, out=real)
        np.copyto(self._stored_rows, real, casting="unsafe")
        try:
            self._lite.set_tensor(self._input, self._stored)
            self._lite.invoke()
        except _FAILURES as error:
            raise ModelError(f"{self._name}: LiteRT cannot run it ({_one_line(error)})") from None
        answer = self._answer
        np.copyto(answer, self._lite.get_tensor(self._output).reshape(-1), casting="unsafe")
        stored = self.quantization.output
        if stored is not None:
            answer -= np.float32(stored.zero_point)
            answer *= np.float32(stored.scale)
        return answer

    def _fuse(self, standardisation: Standardisation) -> None:
        """(x - mean) / std, then / scale + zero point, as one multiplication and one addition.

        Raises :class:`ModelError` where float32 cannot hold them.
        """
        mean, std = np.asarray(standardisation.mean), np.asarray(standardisation.std)
        stored = self.quantization.input
        scale, zero = (1.0, 0) if stored is None else (stored.scale, stored.zero_point)
        if stored is not None:
            limits = np.iinfo(stored.dtype)
            self._lowest, self._highest = np.float32(limits.min), np.float32(limits.max)
        # As large as the input: arithmetic without broadcasting takes half the time.
        shape = self._real.shape
        with np.errstate(all="ignore"):  # what overflows is refused below
            slope, offset = 1 / (std * scale), zero - mean / (std * scale)
            self._slope = np.broadcast_to(slope, shape).astype(np.float32)
            self._offset = np.broadcast_to(offset, shape).astype(np.float32)
        usable = np.isfinite(self._slope) & (self._slope > 0) & np.isfinite(self._offset)
        if not usable.all():
            raise ModelError(
                f"{self._name}: its standardisation does not fit into float32; its deviations or "
                "its input's scale are too small or too large"
            )


def litert() -> Any:
    """The interpreter class of whichever LiteRT is installed.

    Raises:
        ModelError: none is, or one that does not load.
    """
    # LiteRT has no wheels for 32-bit Pi OS; its predecessor, of the same API, does.
    for package in ("ai_edge_litert", "tflite_runtime"):
        try:
            return import_module(f"{package}.interpreter").Interpreter
        except Exception as error:  # a compiled part may fail in any way
            if isinstance(error, ModuleNotFoundError) and error.name == package:
                continue
            raise ModelError(
                f"{package} is installed but does not load ({_one_line(error)})"
            ) from None
    raise ModelError(
        "LiteRT is not installed; pip install ai-edge-litert (tflite-runtime on a 32-bit system)"
    )


def _stored(tensor: dict[str, Any], name: str) -> TensorQuantization | None:
    """How a tensor is stored; None for float32."""
    dtype = np.dtype(tensor["dtype"])
    if dtype == np.float32:
        return None
    scale, zero_point = tensor["quantization"]
    if dtype not in (np.int8, np.uint8) or not scale > 0:
        raise ModelError(f"{name}: a tensor of {dtype}; float32, int8 or uint8 is wanted")
    return TensorQuantization(dtype.name, float(scale), int(zero_point))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())[:120]
