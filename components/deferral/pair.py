"""What a small model and the big one say of the same clips, and what asking costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import InputError
from components.examples import SAMPLE_RATE
from components.progress import Bar
from edge_client.audio import to_float
from edge_client.big.description import BigDescription, DescriptionError
from edge_client.deferral.fusion import fused
from edge_client.features.frontend import FrontEnd
from edge_client.payload import Recording, encode_features, encode_recording, quantise
from edge_client.predictor import AudioPredictor

Float32 = npt.NDArray[np.float32]
Clip = npt.NDArray[np.int16]
Bools = npt.NDArray[np.bool_]

_BATCH = 64


@dataclass(frozen=True)
class Pair:
    """The answers of both models to the clips of one split.

    Attributes:
        little: ``[n, labels]`` probabilities of the small model.
        big: ``[n, labels]`` probabilities of the big one.
        truth: ``[n]`` indices of the right labels.
        request_bytes: ``[n]`` sizes of the bodies by which the big one is asked.
    """

    little: Float32
    big: Float32
    truth: npt.NDArray[np.int64]
    request_bytes: npt.NDArray[np.int64]

    def little_right(self) -> Bools:
        """Which clips the small model gets right."""
        return np.asarray(self.little.argmax(-1) == self.truth)

    def big_right(self) -> Bools:
        """Which clips the big model gets right by itself."""
        return np.asarray(self.big.argmax(-1) == self.truth)

    def fused_right(self, weight: float) -> Bools:
        """Which clips are right once the big model was asked and both answers are fused."""
        return np.asarray(fused(self.little, self.big, weight).argmax(-1) == self.truth)

    def gain(self, weight: float) -> npt.NDArray[np.float64]:
        """``[n]``: 1 where asking puts the answer right, -1 where it spoils it, else 0."""
        return self.fused_right(weight).astype(np.float64) - self.little_right()


class BigModel:
    """The SavedModel that will be served, asked as a device asks it with one payload."""

    def __init__(self, folder: Path | str, payload: str) -> None:
        """Loads it.

        Args:
            folder: of the SavedModel.
            payload: one of ``edge_client.payload.PAYLOADS``.

        Raises:
            InputError: no SavedModel, or one without the signatures of our big models.
        """
        try:
            signatures = tf.saved_model.load(str(folder)).signatures
            (text,) = signatures["specification"](question=tf.constant([""]))["specification"]
            self.description = BigDescription.from_json(json.loads(text.numpy()))
            self._serve, self._features = signatures["serving_default"], signatures["features"]
        except (OSError, KeyError, ValueError, DescriptionError) as error:
            raise InputError(
                f"{folder}: not a big model of this version ({error}); train or export it again"
            ) from None
        self._payload = payload
        self._front_end = FrontEnd(self.description.features)

    def __call__(self, clips: Sequence[Clip], bar: Bar) -> tuple[Float32, list[int]]:
        """Answers and the sizes of the requests.

        Args:
            clips: int16, 16 kHz, each of the description's length.
            bar: advanced clip by clip.

        Returns:
            ``[n, labels]`` probabilities, and ``n`` sizes in bytes.
        """
        answers: list[Float32] = []
        sizes: list[int] = []
        for start in range(0, len(clips), _BATCH):
            batch = clips[start : start + _BATCH]
            inputs, bodies = zip(*(self._request(clip) for clip in batch), strict=True)
            if self._payload.startswith("features"):
                answer = self._features(features=tf.constant(inputs))
            else:
                answer = self._serve(audio=tf.constant(inputs))
            answers.append(answer["probabilities"].numpy())
            sizes += bodies
            bar.advance(by=len(batch))
        return np.concatenate(answers), sizes

    def _request(self, clip: Clip) -> tuple[bytes, int]:
        """What the model gets of a clip, and the size of the body that carries it."""
        description = self.description
        if self._payload.startswith("features"):
            features = self._front_end(to_float(clip), description.sample_rate)
            standardised = description.standardisation(features)
            body = encode_features(
                standardised, description.step, description.specification, self._payload
            )
            return quantise(standardised, description.step).tobytes(), len(body)
        body = encode_recording(Recording(clip, SAMPLE_RATE), self._payload)
        return clip.astype("<i2").tobytes(), len(body)


def ask_both(
    little: AudioPredictor,
    big: BigModel,
    clips: Sequence[Clip],
    truth: npt.NDArray[np.int64],
    bar: Bar,
) -> Pair:
    """Every clip to both models.

    Args:
        little: the small model, on the front end it has on the device.
        big: the big one.
        clips: int16 at 16 kHz, each as long as a clip of the big model.
        truth: ``[n]`` indices of the right labels.
        bar: of two steps a clip.

    Raises:
        InputError: the two models know different labels.
    """
    if little.labels != big.description.labels:
        raise InputError(
            f"the small model knows {', '.join(little.labels)}, the big one "
            f"{', '.join(big.description.labels)}; train both on the same words"
        )
    probabilities, sizes = big(clips, bar)
    return Pair(scores_of(little, clips, bar), probabilities, truth, np.array(sizes))


def scores_of(predictor: AudioPredictor, clips: Sequence[Clip], bar: Bar) -> Float32:
    """``[n, labels]`` probabilities of a small model, clip by clip as on the device."""
    scores = []
    for clip in clips:
        scores.append(predictor(clip, SAMPLE_RATE).scores)
        bar.advance()
    return np.stack(scores)
