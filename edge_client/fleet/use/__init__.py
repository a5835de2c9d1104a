"""An installed model in use: counted, watched in its first uses, followed."""
