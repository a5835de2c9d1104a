"""The DAGs: one file each, read top to bottom in the order data flows."""

import components  # noqa: F401 - first of all: it settles which Keras TensorFlow brings
