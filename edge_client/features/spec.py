"""What features a model takes: the part of a bundle's manifest that fixes its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

KINDS = ("stft", "log_mel", "mfcc")
_LARGEST = 1e9  # of any number here, so that no product of them overflows


class SpecError(ValueError):
    """A feature specification that cannot be computed; the message names the field."""


@dataclass(frozen=True)
class AudioFeatures:
    """A recipe from one clip of audio to a ``[frames, bins]`` float32 array.

    The recipe is the one ``tf.signal`` documents: periodic Hann window, frames without padding,
    magnitude of the real FFT, HTK mel filters, ``log(x + log_offset)``, orthogonal DCT-II.
    """

    kind: str
    sample_rate: int = 16000  # Hz at which frames are cut; audio of another rate is resampled
    clip_seconds: float = 1.0
    frame_length_ms: float = 40.0
    frame_step_ms: float = 20.0
    mel_bins: int = 40
    low_hz: float = 20.0
    high_hz: float = 4000.0
    coefficients: int = 10  # of the MFCCs; the other kinds ignore it
    resize: tuple[int, int] | None = None  # (frames, bins) after bilinear resizing
    log_offset: float = 1e-6

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SpecError(f"features.kind is {self.kind!r}; choose one of {', '.join(KINDS)}")
        for name in ("sample_rate", "mel_bins", "coefficients"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not 1 <= value <= _LARGEST:
                raise SpecError(
                    f"features.{name} is {value!r:.60}; it must be a whole number above 0 and at "
                    f"most {_LARGEST:g}"
                )
        for name in ("clip_seconds", "frame_length_ms", "frame_step_ms", "log_offset"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value <= _LARGEST:
                raise SpecError(
                    f"features.{name} is {value!r:.60}; it must be a number above 0 and at most "
                    f"{_LARGEST:g}"
                )
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise SpecError(
                f"features.low_hz and high_hz are {self.low_hz} and {self.high_hz}; they must "
                f"satisfy 0 <= low_hz < high_hz <= {self.sample_rate / 2:g} (half the sample rate)"
            )
        if not 2 <= self.frame_length <= self.samples or self.frame_step < 1:
            raise SpecError(
                f"features.frame_length_ms and frame_step_ms give {self.frame_length} and "
                f"{self.frame_step} samples, which do not fit into a clip of {self.samples}"
            )
        if self.kind == "mfcc" and self.coefficients > self.mel_bins:
            raise SpecError(
                f"features.coefficients is {self.coefficients}, more than the "
                f"{self.mel_bins} mel bins they are computed from"
            )
        if self.resize is not None and (
            len(self.resize) != 2 or any(not isinstance(n, int) or n < 1 for n in self.resize)
        ):
            raise SpecError("features.resize must be two whole numbers above 0: [frames, bins]")

    @property
    def samples(self) -> int:
        """Samples of one clip at ``sample_rate``."""
        return round(self.sample_rate * self.clip_seconds)

    @property
    def frame_length(self) -> int:
        """Samples of one frame, which is also the length of the FFT."""
        return round(self.sample_rate * self.frame_length_ms / 1000)

    @property
    def frame_step(self) -> int:
        """Samples from the start of one frame to the start of the next."""
        return round(self.sample_rate * self.frame_step_ms / 1000)

    @property
    def shape(self) -> tuple[int, int]:
        """``(frames, bins)`` of the features of one clip."""
        if self.resize is not None:
            return self.resize
        frames = 1 + (self.samples - self.frame_length) // self.frame_step
        bins = {
            "stft": self.frame_length // 2 + 1,
            "log_mel": self.mel_bins,
            "mfcc": self.coefficients,
        }[self.kind]
        return frames, bins

    def to_json(self) -> dict[str, Any]:
        """The specification as JSON-able values; :meth:`from_json` reads it back."""
        return {**asdict(self), "resize": list(self.resize) if self.resize else None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AudioFeatures:
        """Raises :class:`SpecError` for unknown fields and impossible values."""
        return cls(**_known(cls, values, {"resize": lambda r: None if r is None else tuple(r)}))


@dataclass(frozen=True)
class Quantity:
    """One physical quantity of a record: its column in a CSV and its SenML unit (RFC 8428)."""

    name: str
    column: str
    unit: str


@dataclass(frozen=True)
class RecordWindow:
    """A window of consecutive records: ``[input_steps, quantities]`` in physical units."""

    quantities: tuple[Quantity, ...]
    input_steps: int
    output_steps: int
    interval_s: float  # between two records; a larger distance is a gap no window spans

    def __post_init__(self) -> None:
        if not self.quantities:
            raise SpecError("window.quantities is empty; name at least one column")
        for name in ("input_steps", "output_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpecError(f"window.{name} is {value!r}; it must be a whole number above 0")
        if not self.interval_s > 0:
            raise SpecError(f"window.interval_s is {self.interval_s!r}; it must be above 0")

    def to_json(self) -> dict[str, Any]:
        """The specification as JSON-able values; :meth:`from_json` reads it back."""
        return {**asdict(self), "quantities": [asdict(q) for q in self.quantities]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RecordWindow:
        """Raises :class:`SpecError` for unknown fields and impossible values."""
        read = {"quantities": lambda qs: tuple(Quantity(**_known(Quantity, q)) for q in qs)}
        return cls(**_known(cls, values, read))


@dataclass(frozen=True)
class Standardisation:
    """``(x - mean) / std`` over the last axis, both measured on the training split."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise SpecError(
                f"standardisation has {len(self.mean)} means and {len(self.std)} deviations; "
                "there must be one of each for every value of the last axis"
            )
        if not np.isfinite((*self.mean, *self.std)).all() or not np.all(np.asarray(self.std) > 0):
            raise SpecError("standardisation wants finite means and finite deviations above 0")

    def __call__(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``[..., n]`` in, the same shape standardised out."""
        mean = np.asarray(self.mean, np.float32)
        std = np.asarray(self.std, np.float32)
        return (values - mean) / std

    def to_json(self) -> dict[str, Any]:
        """The constants as JSON-able values; :meth:`from_json` reads them back."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Standardisation:
        """Raises :class:`SpecError` for unknown fields and impossible values."""
        return cls(**_known(cls, values, {"mean": _floats, "std": _floats}))


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _known(
    cls: type, values: Mapping[str, Any], convert: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The fields of dataclass ``cls`` in ``values``, converted; refuses what it does not know."""
    if not isinstance(values, Mapping):
        raise SpecError(f"{cls.__name__} must be a mapping, not {type(values).__name__}")
    names = {f.name for f in fields(cls)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise SpecError(
            f"{cls.__name__} does not know {unknown[0]!r}; it takes {', '.join(sorted(names))}"
        )
    try:
        read = {k: (convert or {}).get(k, lambda v: v)(v) for k, v in values.items()}
        cls(**read)
    except SpecError:
        raise
    except (TypeError, ValueError) as error:
        raise SpecError(f"{cls.__name__}: {error}") from None
    return read
