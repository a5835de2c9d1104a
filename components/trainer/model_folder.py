"""The Trainer's output as the steps behind it read it: the Keras model and how it was trained."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow as tf

from components.errors import InputError
from components.trainer.recipe import Recipe


def read_model(folder: Path) -> tuple[tf.keras.Model, Recipe]:
    """The Keras model and the recipe in a Trainer's output folder.

    Raises:
        InputError: the folder is not one, named with what is missing in it.
    """
    recipe, model = folder / "recipe.json", folder / "keras" / "model.keras"
    try:
        trained = Recipe.from_json(json.loads(recipe.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{recipe}: not a trained model's recipe ({error})") from None
    try:
        return tf.keras.models.load_model(model, compile=False), trained
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: not a Keras model ({error})") from None
