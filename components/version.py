"""A version: one YAML with features, architecture, training, compression and budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.constraint_evaluator.budgets import check_budgets, metric_units
from components.deferral.recipe import DeferralRecipe, FastRecipe
from components.errors import InputError
from components.settings import NAME, from_mapping
from components.trainer.recipe import Architecture, Recipe, Training
from edge_client.features.spec import AudioFeatures, RecordWindow


@dataclass(frozen=True)
class CompressionRecipe:
    """Steps that turn a trained model into one candidate file; each names a registered function.

    A step is a mapping with ``step`` and the options of that function:
    ``{step: magnitude_pruning, sparsity: 0.6, epochs: 10}``.
    """

    name: str
    steps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Version:
    """What one model must be and how it is made.

    ``budgets`` maps a metric to its bound. The metrics: ``accuracy`` (percent, at least more
    than), ``bytes``, ``features_ms``, ``inference_ms``, ``total_ms`` (medians), ``mae.<quantity>``
    (in its unit) and ``mae_over_persistence.<quantity>`` (a ratio), all of which must stay below.
    """

    name: str
    architecture: Architecture
    training: Training
    features: AudioFeatures | None = None
    window: RecordWindow | None = None
    compression: tuple[CompressionRecipe, ...] = ()
    budgets: Mapping[str, float] = field(default_factory=dict)
    deferral: DeferralRecipe | None = None  # when it asks a big model of the same run
    fast: FastRecipe | None = None  # a cheap front end before the full one
    cooperates: bool = False  # decides together with the others of the run that say so
    version: str = "1"  # of the model: raised by whoever pushes another one under this name

    def __post_init__(self) -> None:
        if (self.features is None) == (self.window is None):
            raise InputError(
                f"{self.name}: give either features (keyword spotting) or window (forecasting)"
            )
        for key in ("name", "version"):
            if not NAME.fullmatch(getattr(self, key)):
                raise InputError(
                    f"{self.name}: {key} is {getattr(self, key)!r}; use up to 64 letters, digits, "
                    "'-', '_' and '.'"
                )
        for key in ("deferral", "fast", "cooperates"):
            if getattr(self, key) and (self.features is None or not self.compression):
                raise InputError(f"{self.name}: {key} is for a keyword model with compression")
        if self.features is not None:
            if self.fast is not None:
                try:
                    self.fast.front_end(self.features)
                except InputError as error:
                    raise InputError(f"{self.name}: {error}") from None
            frames, bins = self.features.shape
            wanted = self.training.augmentation
            if wanted.time_mask_ms > frames * self.features.frame_step_ms:
                raise InputError(
                    f"{self.name}: training.augmentation.time_mask_ms is {wanted.time_mask_ms:g}, "
                    f"longer than {frames} frames of {self.features.frame_step_ms:g} ms"
                )
            if wanted.frequency_mask > bins:
                raise InputError(
                    f"{self.name}: training.augmentation.frequency_mask is "
                    f"{wanted.frequency_mask}, more than the {bins} bins there are"
                )

    @property
    def task(self) -> str:
        """``keyword_spotting`` or ``forecasting``."""
        return "keyword_spotting" if self.features is not None else "forecasting"

    @property
    def recipe(self) -> Recipe:
        """What the Trainer needs to know."""
        return Recipe(self.architecture, self.training)


def to_json(setting: Any) -> str:
    """A dataclass (or a tuple of them) as the JSON text an execution parameter carries."""
    value = [asdict(s) for s in setting] if isinstance(setting, tuple) else asdict(setting)
    return json.dumps(value, sort_keys=True)


def read_version(path: str | Path) -> Version:
    """Reads a version's YAML.

    Raises:
        InputError: the file cannot be read, is not YAML, holds an unknown key or a value of the
            wrong type, or states a budget on what is not measured; named with its place.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; give a YAML") from None
    except (yaml.YAMLError, ValueError) as error:  # a date of month 13, thousands of digits
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise InputError(f"{path}{line}: is not YAML") from None
    version = from_mapping(Version, values, str(path))
    if version.name != Path(path).stem:
        raise InputError(f"{path}: name is {version.name!r}; it must be the name of the file")
    quantities = version.window.quantities if version.window else ()
    check_budgets(version.budgets, metric_units(quantities), str(path))
    return version
