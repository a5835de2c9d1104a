"""When the small model asks the big one, and its fast mode: two sections of a version's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from components.constraint_evaluator.budgets import budgets_fault
from components.errors import InputError
from edge_client.bundle.parse import audio_features
from edge_client.features.spec import AudioFeatures, SpecError
from edge_client.fields import FieldError, Fields
from edge_client.payload import PAYLOADS

# What a budget can bound of both models together: on all test clips, with MB of 2^20 bytes.
SYSTEM_UNITS = {"accuracy": "%", "megabytes": "MB"}
# And of a fast mode, on all test clips as well.
FAST_UNITS = {"accuracy": "%"}


@dataclass(frozen=True)
class Target:
    """What the thresholds are chosen for; exactly one of share, accuracy and bytes an hour.

    Share and bytes are kept with confidence on clips not yet heard. The accuracy is a point
    estimate, reached on the validation clips and no more: on others it is as often missed.
    What must hold is a matter of ``budgets``, which the test clips judge.

    Raises ``ValueError`` for anything else; ``from_mapping`` adds its place.
    """

    share: float | None = None  # of clips asked, must stay below
    accuracy: float | None = None  # of both together on validation, in percent, must be above
    bytes_per_hour: float | None = None  # of request bodies, must stay below
    clips_per_hour: float | None = None  # how often the device hears something; with bytes only

    def __post_init__(self) -> None:
        stated = [name for name in ("share", "accuracy", "bytes_per_hour") if _given(self, name)]
        if len(stated) != 1:
            raise ValueError("state exactly one of share, accuracy and bytes_per_hour")
        if (self.bytes_per_hour is None) != (self.clips_per_hour is None):
            raise ValueError("bytes_per_hour and clips_per_hour go together")
        for name, most in (
            ("share", 1.0),
            ("accuracy", 100.0),
            ("bytes_per_hour", 1e12),
            ("clips_per_hour", 1e9),
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value <= most:
                raise ValueError(f"{name} is {value:g}; it must be above 0 and at most {most:g}")

    def allows(self, share: float, bytes_each: float) -> bool:
        """Whether asking for a share of the clips keeps the target; not for an accuracy.

        Args:
            share: 0 to 1.
            bytes_each: mean size of the bodies of those requests.
        """
        if self.share is not None:
            return share < self.share
        assert self.bytes_per_hour is not None and self.clips_per_hour is not None
        return share * bytes_each * self.clips_per_hour < self.bytes_per_hour

    def __str__(self) -> str:
        if self.share is not None:
            return f"share < {self.share:g}"
        if self.accuracy is not None:
            return f"accuracy > {self.accuracy:g} % on validation"
        return f"{self.bytes_per_hour:g} bytes an hour of {self.clips_per_hour:g} clips"


def _given(target: Target, name: str) -> bool:
    return getattr(target, name) is not None


@dataclass(frozen=True)
class DeferralRecipe:
    """The YAML section ``deferral``."""

    big: str  # name of a served version of the same run
    target: Target
    payload: str = "features-cbor"  # whose bytes are counted, and by which Big is asked
    budgets: Mapping[str, float] = field(default_factory=dict)  # of both together, on test

    def __post_init__(self) -> None:
        if self.payload not in PAYLOADS:
            raise ValueError(f"payload is {self.payload!r}; choose one of {', '.join(PAYLOADS)}")
        fault = budgets_fault(self.budgets, SYSTEM_UNITS)
        if fault is not None:
            raise ValueError(fault)


@dataclass(frozen=True)
class FastRecipe:
    """The YAML section ``fast``: a cheap front end, and how good it must be with the full one.

    The threshold is the one that does the least again and reaches ``accuracy`` on validation, a
    point estimate; ``budgets`` hold, or not, on test.
    """

    features: Mapping[str, Any]  # fields of the version's features that differ
    accuracy: float  # in percent, of fast answers and, where they are doubtful, full ones
    budgets: Mapping[str, float] = field(default_factory=dict)  # of the same, on test

    def __post_init__(self) -> None:
        if not 0 < self.accuracy < 100:
            raise ValueError(f"accuracy is {self.accuracy:g}; it must be above 0 and below 100")
        if not self.features:
            raise ValueError("features is empty; name what is cheaper, such as frame_step_ms")
        fault = budgets_fault(self.budgets, FAST_UNITS)
        if fault is not None:
            raise ValueError(fault)

    def front_end(self, full: AudioFeatures) -> AudioFeatures:
        """The cheap front end, resized to the shape the model takes.

        Raises:
            InputError: a field that features do not have, a value that cannot be or is too large
                for a device, or another clip.
        """
        if self.features.get("clip_seconds", full.clip_seconds) != full.clip_seconds:
            raise InputError("fast: clip_seconds must be that of the full features")
        values = {"features": {**full.to_json(), **self.features}}
        try:
            fast = audio_features(Fields(values, "fast"), full.samples, full.sample_rate)
        except SpecError as error:
            raise InputError(f"fast: {error}") from None
        except FieldError as error:  # which says itself where
            raise InputError(str(error)) from None
        return fast if fast.shape == full.shape else replace(fast, resize=full.shape)
