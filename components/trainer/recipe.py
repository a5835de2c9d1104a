"""How one model is drawn and trained: the dataclasses behind a version's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from components.settings import from_mapping


@dataclass(frozen=True)
class Architecture:
    """A registered architecture (``components.trainer.models``) and its size."""

    name: str
    width: float = 1.0  # alpha: multiplies every hidden width
    options: Mapping[str, Any] = field(default_factory=dict)


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

    @property
    def needs_audio(self) -> bool:
        """Whether the clips themselves change, so that their features are computed anew."""
        return bool(self.shift_ms or self.speed or self.gain_db or self.noise)


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
