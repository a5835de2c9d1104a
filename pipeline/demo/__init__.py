"""``make demo``: all that ml4iot does, on embedded data, by the commands a user types."""
