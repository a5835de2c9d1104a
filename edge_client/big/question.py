"""A clip as the big model is asked about it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_client.audio import Float32, Int16, fit_clip, to_float
from edge_client.big.description import BigDescription
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures
from edge_client.payload import Recording, encode_features, encode_recording


@dataclass(frozen=True)
class Question:
    """One clip, and what of it was computed already."""

    audio: Int16  # [samples], mono, about as long as the clip
    rate: int  # Hz
    features: Float32  # [frames, bins], not standardised
    recipe: AudioFeatures  # that they follow
    samples: int  # of the clip they were computed from, ...
    sample_rate: int  # ... and its rate


class Encoder:
    """Writes bodies for the big model of one description.  Safe for use by several threads."""

    def __init__(self, description: BigDescription, payload: str) -> None:
        self._description, self._payload = description, payload
        self._takes_features = payload.startswith("features")
        self._front_end = FrontEnd(description.features) if self._takes_features else None

    def __call__(self, question: Question) -> bytes:
        """The body of the request; raises :class:`EdgeError` where the payload cannot be made."""
        big = self._description
        if self._front_end is None:
            clip = self._clip(question)
            return encode_recording(Recording(clip, big.sample_rate), self._payload)
        # The same front end on the same clip gives the same features: no need to do it twice.
        same = (question.recipe, question.samples, question.sample_rate)
        if same == (big.features, big.samples, big.sample_rate):
            features = question.features
        else:
            features = self._front_end(to_float(self._clip(question)), big.sample_rate)
        return encode_features(
            big.standardisation(features), big.step, big.specification, self._payload
        )

    def _clip(self, question: Question) -> Int16:
        big = self._description
        return fit_clip(question.audio, question.rate, big.sample_rate, big.samples)
