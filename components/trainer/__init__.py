"""Trainer: from features and audio Examples to a Keras model, by the recipe of a version."""
