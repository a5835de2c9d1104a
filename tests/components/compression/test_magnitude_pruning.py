"""Magnitude pruning reaches its sparsity, where it should, and keeps the model working."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.compression.compress import Compressor
from components.compression.magnitude_pruning import MagnitudePruning, magnitude_pruning
from components.compression.steps import Context
from components.trainer.recipe import Architecture

layers = tf.keras.layers


def test_kernels_are_sparse_and_the_words_still_told(keywords) -> None:
    before = [w.copy() for w in keywords.model.get_weights()]
    options = MagnitudePruning(epochs=4, sparsity=0.6)
    context = Context(keywords.task, keywords.recipe.training, "pruning")
    sparse = magnitude_pruning(keywords.model, options, context)
    for layer in sparse.layers:
        if not layer.get_weights() or isinstance(layer, layers.BatchNormalization):
            continue
        zeros = np.mean(layer.get_weights()[0] == 0)
        expected = 0 if isinstance(layer, layers.DepthwiseConv2D) else 0.6
        assert abs(zeros - expected) <= 0.5 / layer.get_weights()[0].size + 1e-9, layer.name
    assert keywords.task.figure().measure(sparse) > 0.8
    for old, weight in zip(before, keywords.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, weight)


def test_what_adds_the_last_record_is_not_pruned_and_zeros_pack_well(records, recipe) -> None:
    model = records.task.build(Architecture("mlp_1", 0.5))
    change = model.get_layer("change")
    change.kernel.assign(tf.random.stateless_normal(change.kernel.shape, seed=(1, 2)) * 0.1)
    options = {"step": "magnitude_pruning", "sparsity": 0.8, "epochs": 2, "learning_rate": 0.003}
    training = records.recipe.training
    compressor = Compressor(model, records.task, training)
    dense = compressor(recipe("float32", "zlib"))
    sparse = compressor(recipe(options, "float32", "zlib"))
    assert len(sparse.data) < 0.6 * len(dense.data)
    context = Context(records.task, training, "pruning")
    pruned = magnitude_pruning(model, MagnitudePruning(epochs=2, sparsity=0.8), context)
    np.testing.assert_array_equal(
        pruned.get_layer("physical").get_weights()[0], model.get_layer("physical").get_weights()[0]
    )
