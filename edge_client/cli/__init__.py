"""The commands of ``ml4iot-edge``, one module each."""
