"""ServingEvaluator: the verdict on a model that TensorFlow Serving will answer with."""
