"""The steps a compression recipe can name, and the check of a recipe before anything runs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from components.errors import InputError
from components.settings import NAME, from_mapping
from components.trainer.recipe import Training
from components.trainer.task import Task
from components.version import CompressionRecipe

Function = TypeVar("Function", bound=Callable[..., Any])


class Stage(enum.IntEnum):
    """Where in a recipe a step stands; a recipe takes at most one step of each stage."""

    SHAPE = 0  # Keras model to a smaller Keras model
    WEIGHTS = 1  # Keras model to one whose weights compress better
    CONVERSION = 2  # Keras model to the bytes of a TFLite file; the one stage no recipe lacks
    LAYOUT = 3  # TFLite file to a smaller TFLite file
    PACKING = 4  # TFLite file to what travels


@dataclass(frozen=True)
class NoOptions:
    """For steps that leave nothing to choose."""


@dataclass(frozen=True)
class Context:
    """What a step may need beside the model."""

    task: Task
    training: Training  # how the model was trained; fine-tuning augments and smooths alike
    title: str  # for progress bars


@dataclass(frozen=True)
class Step:
    """A registered step: ``function(value, options, context)`` returns the next value."""

    name: str
    stage: Stage
    options: type
    function: Callable[[Any, Any, Context], Any]


@dataclass(frozen=True)
class Planned:
    """One step of a checked recipe with its options."""

    step: Step
    options: Any


STEPS: dict[str, Step] = {}


def register(name: str, stage: Stage, options: type) -> Callable[[Function], Function]:
    """Adds a function to the steps; ``options`` is the dataclass of what a recipe may set."""

    def add(function: Function) -> Function:
        STEPS[name] = Step(name, stage, options, function)
        return function

    return add


def plan(recipe: CompressionRecipe, where: str) -> tuple[Planned, ...]:
    """The steps of a recipe, checked.

    Args:
        recipe: as the version's YAML has it.
        where: its place there, for the message (``compression[0]``).

    Raises:
        InputError: an unknown step, a wrong order, or an option that is unknown or out of range.
    """
    if not NAME.fullmatch(recipe.name):
        raise InputError(
            f"{where}.name: {recipe.name!r} cannot name a folder; use up to 64 letters, digits, "
            "'-', '_' and '.'"
        )
    planned: list[Planned] = []
    for i, values in enumerate(recipe.steps):
        place = f"{where}.steps[{i}]"
        if "step" not in values:
            raise InputError(f"{place}: the key 'step' is missing; {_known()}")
        name = values["step"]
        if not isinstance(name, str) or name not in STEPS:
            raise InputError(f"{place}.step: no step {name!r}; {_known()}")
        step = STEPS[name]
        if planned and step.stage <= planned[-1].step.stage:
            before = planned[-1].step
            reason = (
                "both stand in the same place, choose one"
                if step.stage == before.stage
                else f"it belongs before {before.name!r}"
            )
            raise InputError(f"{place}: {name!r} cannot follow {before.name!r}: {reason}")
        options = {key: value for key, value in values.items() if key != "step"}
        planned.append(Planned(step, from_mapping(step.options, options, f"{place} {name}")))
    if not any(p.step.stage == Stage.CONVERSION for p in planned):
        conversions = [s.name for s in STEPS.values() if s.stage == Stage.CONVERSION]
        raise InputError(
            f"{where}.steps: nothing turns the model into a file; add one of "
            f"{', '.join(conversions)}"
        )
    return tuple(planned)


def check(recipes: Sequence[CompressionRecipe], where: str = "compression") -> None:
    """Checks all recipes of a version; raises ``InputError`` as :func:`plan` does."""
    if not recipes:
        raise InputError(f"{where}: is empty; give at least one recipe")
    seen: set[str] = set()
    for i, recipe in enumerate(recipes):
        plan(recipe, f"{where}[{i}]")
        if recipe.name in seen:
            raise InputError(f"{where}[{i}].name: {recipe.name!r} is taken; rename one of the two")
        seen.add(recipe.name)


def _known() -> str:
    in_order = sorted(STEPS.values(), key=lambda step: step.stage)
    return f"known steps are {', '.join(step.name for step in in_order)}"
