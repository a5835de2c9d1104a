"""The server side at run time: TensorFlow Serving, or the embedded server that stands in for it."""
