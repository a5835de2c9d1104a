"""The SavedModels TensorFlow Serving reads: raw audio or raw records in."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.graph_frontend import export_big
from components.specification import AudioSpecification, RecordSpecification


def export_keyword_model(
    model: tf.keras.Model, specification: AudioSpecification, folder: str
) -> None:
    """``serving_default``: ``audio`` string[n] to ``probabilities`` [n, labels] and ``label``."""
    classifier = tf.keras.Sequential([model, tf.keras.layers.Softmax(name="probabilities")])
    export_big(
        classifier,
        specification.features,
        specification.standardisation,
        specification.labels,
        folder,
    )


def export_forecaster(
    model: tf.keras.Model, specification: RecordSpecification, folder: str
) -> None:
    """``serving_default``: ``records`` [n, steps, quantities] to ``forecast``, the same units."""
    window = specification.window
    quantities = len(window.quantities)
    shape = (None, window.input_steps, quantities)
    mean = tf.constant(np.asarray(specification.standardisation.mean, np.float32))
    std = tf.constant(np.asarray(specification.standardisation.std, np.float32))

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="records")])
    def serve(records: tf.Tensor) -> dict[str, tf.Tensor]:
        flat = tf.reshape((records - mean) / std, (-1, window.input_steps * quantities))
        forecast = tf.reshape(model(flat, training=False), (-1, window.output_steps, quantities))
        return {"forecast": forecast}

    module = tf.Module()
    module.model = model
    module.serve = serve
    tf.saved_model.save(module, folder, signatures={"serving_default": serve})
