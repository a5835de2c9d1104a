"""Loads the model and its data, and writes a candidate for each recipe."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.compression.compress import Compressor
from components.compression.steps import check
from components.errors import InputError
from components.settings import from_mapping
from components.specification import read_specification
from components.trainer.model_folder import read_model
from components.trainer.task import load_task
from components.version import CompressionRecipe


class Executor(BaseExecutor):
    """See ``components.compression.component.Compression``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the recipes; TFX calls it."""
        self._log_startup(input_dict, output_dict, exec_properties)
        recipes = read_recipes(exec_properties["recipes"])
        audio = input_dict.get("audio")
        task = load_task(
            read_specification(artifact_utils.get_single_uri(input_dict["specification"])),
            artifact_utils.get_single_instance(input_dict["examples"]),
            artifact_utils.get_single_instance(audio) if audio else None,
        )
        model, trained = read_model(Path(artifact_utils.get_single_uri(input_dict["model"])))
        folder = Path(artifact_utils.get_single_uri(output_dict["candidates"]))
        compressor = Compressor(model, task, trained.training)
        for i, recipe in enumerate(recipes, start=1):
            # Lines rather than a bar: fine-tuning shows one, and conversion holds output back.
            _say(f"compressing {i}/{len(recipes)}: {recipe.name}")
            started = time.monotonic()
            candidate = compressor(recipe)
            candidate.write(folder / recipe.name)
            seconds = time.monotonic() - started
            _say(f"{recipe.name}: {len(candidate.data):,} bytes after {seconds:.0f} s")


def read_recipes(text: str, where: str = "compression") -> tuple[CompressionRecipe, ...]:
    """The recipes in an execution parameter, checked.

    Args:
        text: a JSON list.
        where: the place they come from, for the message.

    Raises:
        InputError: what is no recipe, or one that cannot be run.
    """
    values = json.loads(text)
    if not isinstance(values, list):
        raise InputError(f"{where}: must be a list of recipes")
    recipes = tuple(
        from_mapping(CompressionRecipe, value, f"{where}[{i}]") for i, value in enumerate(values)
    )
    check(recipes, where)
    return recipes


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
