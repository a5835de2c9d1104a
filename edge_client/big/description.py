"""What the big model takes and gives: enough to compute its features on a device."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from edge_client.bundle.parse import (
    MAX_LABELS,
    MAX_RATE,
    MAX_SAMPLES,
    audio_features,
    standardisation,
)
from edge_client.errors import EdgeError
from edge_client.features.spec import AudioFeatures, SpecError, Standardisation
from edge_client.fields import FieldError, Fields

_MAX_PAYLOADS = 100
# Features are logarithms or what a DCT makes of them.  Within these, no float32 made of them
# overflows.
_LEAST_SCALE, _LARGEST = 1e-6, 1e6


class DescriptionError(EdgeError):
    """A description that is not understood, or does not fit what it is wanted for."""


@dataclass(frozen=True)
class BigDescription:
    """The big model's labels and front end, and how its features travel as int8."""

    labels: tuple[str, ...]
    sample_rate: int  # Hz of the audio it takes
    samples: int  # of one clip
    features: AudioFeatures
    standardisation: Standardisation  # of the features, per bin
    step: float  # a stored int8 is round(standardised / step)

    @property
    def specification(self) -> str:
        """16 hexadecimal digits that change whenever stored features would mean something else.

        The start of the SHA-256 of labels, features, standardisation and step as JSON with sorted
        keys and no white space.
        """
        values = {
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "standardisation": self.standardisation.to_json(),
            "step": self.step,
        }
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values; :meth:`from_json` reads them back."""
        return {
            "labels": list(self.labels),
            "sample_rate": self.sample_rate,
            "samples": self.samples,
            "features": self.features.to_json(),
            "standardisation": self.standardisation.to_json(),
            "step": self.step,
            "specification": self.specification,
        }

    @classmethod
    def from_json(cls, values: Any, name: str = "description") -> BigDescription:
        """Reads what came from elsewhere.

        Args:
            values: parsed JSON.
            name: what error messages call it.

        Raises:
            DescriptionError: a field unknown, missing or impossible, or features too large for a
                device, or a specification other than that of the fields.
        """
        try:
            with Fields(values, name) as fields:
                rate = fields.whole("sample_rate", 1000, MAX_RATE)
                samples = fields.whole("samples", 1, MAX_SAMPLES)
                features = audio_features(fields, samples, rate)
                description = cls(
                    labels=fields.texts("labels", 2, MAX_LABELS),
                    sample_rate=rate,
                    samples=samples,
                    features=features,
                    standardisation=standardisation(fields, features.shape[1]),
                    step=fields.number("step", above=0),
                )
                given = fields.text("specification")
        except (FieldError, SpecError, OverflowError) as error:
            raise DescriptionError(f"{name}: {error}") from None
        scale = description.standardisation
        if (
            min(*scale.std, description.step) < _LEAST_SCALE
            or max(map(abs, (*scale.mean, *scale.std, description.step))) > _LARGEST
        ):
            raise DescriptionError(
                f"{name}: standardisation and step of {_LEAST_SCALE:g} to {_LARGEST:g} are wanted"
            )
        if given != description.specification:
            raise DescriptionError(
                f"{name}: its specification is {given}, but its fields give "
                f"{description.specification}; the server is of another version than this client"
            )
        return description


@dataclass(frozen=True)
class Offer:
    """What a server of the big model says of itself."""

    description: BigDescription
    payloads: tuple[str, ...]  # by the names of :mod:`edge_client.payload`
    max_bytes: int  # of a request's body

    @classmethod
    def from_json(cls, values: Any, name: str = "description") -> Offer:
        """Reads a description with ``payloads`` and ``max_bytes`` beside its own fields.

        Raises:
            DescriptionError: see :meth:`BigDescription.from_json`.
        """
        if not isinstance(values, dict):
            raise DescriptionError(f"{name}: an object is wanted")
        beside = {key: values[key] for key in ("payloads", "max_bytes") if key in values}
        try:
            with Fields(beside, name) as fields:
                payloads = fields.texts("payloads", 1, _MAX_PAYLOADS)
                max_bytes = fields.whole("max_bytes", 1, 2**40)
        except FieldError as error:
            raise DescriptionError(f"{name}: {error}") from None
        own = {key: value for key, value in values.items() if key not in beside}
        return cls(BigDescription.from_json(own, name), payloads, max_bytes)
