"""The pipeline's own TFX components, one folder each."""

import os

# Before the first import of TensorFlow: tfmot and TFX need Keras 2.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
