"""Networks of one recipe that answer together (deep ensembles, Lakshminarayanan et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import tensorflow as tf

from components.trainer.recipe import Recipe


def members(recipe: Recipe) -> tuple[Recipe, ...]:
    """The recipes of a recipe's networks: the same but for the seed, each trained by itself."""
    training = recipe.training
    return tuple(
        replace(recipe, training=replace(training, ensemble=1, seed=training.seed + number))
        for number in range(training.ensemble)
    )


def together(models: Sequence[tf.keras.Model]) -> tf.keras.Model:
    """One model whose logits are the mean of the models' logits; a single one stays as it is."""
    if len(models) == 1:
        return models[0]
    inputs = tf.keras.Input(models[0].input_shape[1:], name=models[0].input_names[0])
    # In float32 whatever the policy, as the logits are.
    mean = tf.keras.layers.Average(dtype="float32", name="mean_logits")
    return tf.keras.Model(inputs, mean([model(inputs) for model in models]))
