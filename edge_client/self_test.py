"""Whether a model gives here what it gave where it was made: its golden inputs, run again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_client.bundle.file import Bundle
from edge_client.errors import EdgeError
from edge_client.predictor import AudioPredictor, RecordPredictor

# int8 kernels differ between processors by up to two steps; float ones in the last digits.
_STEPS = 4
_RELATIVE = 1e-3


class SelfTestError(EdgeError):
    """The model answers otherwise here than where it was made."""


@dataclass(frozen=True)
class SelfTest:
    """What passed."""

    inputs: int
    difference: float  # the largest between any expected and given number


def self_test(
    bundle: Bundle, predictor: AudioPredictor | RecordPredictor, name: str = "bundle"
) -> SelfTest:
    """Runs every golden input of a bundle.

    Args:
        bundle: whose golden inputs and expected outputs count.
        predictor: made from this bundle.
        name: what error messages call it.

    Raises:
        SelfTestError: an output is off by more than kernels differ between processors, or there
            are no golden inputs.
    """
    manifest = bundle.manifest
    if not manifest.golden:
        raise SelfTestError(f"{name}: no golden inputs in it; push the model again")
    stored = manifest.quantization.output
    largest = 0.0
    for number, golden in enumerate(manifest.golden, 1):
        if isinstance(predictor, AudioPredictor):
            given = predictor(
                np.frombuffer(golden.input, "<i2"), predictor.input.sample_rate
            ).scores
        else:
            given = predictor(np.frombuffer(golden.input, "<f4")).values.reshape(-1)
        wanted = np.asarray(golden.output)
        allowed = _RELATIVE * np.maximum(1, np.abs(wanted)) + (
            _STEPS * stored.scale if stored is not None else 0
        )
        difference = np.abs(given - wanted)
        if not (difference <= allowed).all():  # NaN is never within
            raise SelfTestError(
                f"{name}: golden input {number} gives an answer off by {difference.max():.3g}; "
                "this model does not run correctly here"
            )
        largest = max(largest, float(difference.max()))
    return SelfTest(len(manifest.golden), largest)
