"""How one model is drawn and trained: the dataclasses behind a version's YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from components.settings import from_mapping


def _check(given: Any, fields: Mapping[str, tuple[bool, str]]) -> None:
    """``ValueError`` for the first field that does not hold; ``from_mapping`` adds its place."""
    for name, (holds, wanted) in fields.items():
        if not holds:
            raise ValueError(f"{name} is {getattr(given, name)}; it must be {wanted}")


@dataclass(frozen=True)
class Architecture:
    """A registered architecture (``components.trainer.models``) and its size."""

    name: str
    width: float = 1.0  # alpha: multiplies every hidden width
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self, {"width": (self.width > 0, "above 0")})


@dataclass(frozen=True)
class Augmentation:
    """What is done to each clip of each epoch before its features are computed."""

    shift_ms: float = 0.0  # uniformly to either side, filled with zeros
    speed: float = 0.0  # uniformly 1 - speed .. 1 + speed, pitch moves along
    gain_db: float = 0.0  # uniformly -gain_db .. gain_db
    noise: float = 0.0  # share of the clips that get noise
    noise_snr_db: tuple[float, float] = (5.0, 30.0)  # uniformly
    time_mask_ms: float = 0.0  # longest stretch of frames set to the mean
    frequency_mask: int = 0  # widest band of bins set to the mean
    mixup: float = 0.0  # alpha of the Beta distribution; 0 mixes nothing

    def __post_init__(self) -> None:
        quiet, loud = self.noise_snr_db
        _check(
            self,
            {
                "shift_ms": (0 <= self.shift_ms <= 1000, "0 to 1000, the length of a clip"),
                "speed": (0 <= self.speed < 1, "at least 0 and below 1"),
                "gain_db": (0 <= self.gain_db <= 100, "0 to 100"),
                "noise": (0 <= self.noise <= 1, "0 to 1"),
                "noise_snr_db": (-100 <= quiet <= loud <= 100, "two of -100 to 100, lower first"),
                "time_mask_ms": (0 <= self.time_mask_ms <= 1000, "0 to 1000"),
                "frequency_mask": (self.frequency_mask >= 0, "at least 0"),
                "mixup": (0 <= self.mixup <= 100, "0 to 100"),
            },
        )


@dataclass(frozen=True)
class Distillation:
    """Learning from another model's probabilities beside the labels (Hinton et al., 2015)."""

    teacher: str  # name of a version trained in the same run, on the same features
    weight: float = 0.5  # share of the teacher's probabilities in the targets

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"weight is {self.weight}; it must be above 0 and at most 1")


@dataclass(frozen=True)
class Training:
    """Optimisation: Adam with a linear warm-up and a cosine decay to zero."""

    epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    patience: int | None = None  # epochs without a better validation figure before it stops
    seed: int = 1
    augmentation: Augmentation = Augmentation()
    distillation: Distillation | None = None
    mixed_precision: bool = False  # bfloat16 arithmetic, faster where the processor has it

    def __post_init__(self) -> None:
        _check(
            self,
            {
                "epochs": (self.epochs >= 1, "at least 1"),
                "batch_size": (self.batch_size >= 1, "at least 1"),
                "learning_rate": (0 < self.learning_rate < math.inf, "above 0"),
                "warmup_epochs": (0 <= self.warmup_epochs <= self.epochs, "0 to epochs"),
                "weight_decay": (0 <= self.weight_decay < math.inf, "at least 0"),
                "label_smoothing": (0 <= self.label_smoothing < 1, "at least 0 and below 1"),
                "patience": (self.patience is None or self.patience >= 1, "at least 1"),
                "seed": (0 <= self.seed < 2**31, f"0 to {2**31 - 1}"),
            },
        )


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a model, given the data."""

    architecture: Architecture
    training: Training

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :meth:`from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recipe:
        """Raises ``InputError`` for unknown keys and values of the wrong type."""
        return from_mapping(cls, values, "recipe")
