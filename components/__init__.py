"""The pipeline's own TFX components, one folder each."""

import os
import warnings

# Before the first import of TensorFlow: tfmot and TFX need Keras 2.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# What goes wrong is an exception; what TensorFlow logs beside it is chatter, errors included.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TFX's companions warn on import of the Python and the libraries that its release is held to.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.")
