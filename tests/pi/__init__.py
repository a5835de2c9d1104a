"""A 64-bit ARM Debian without the hardware: what a Pi with that release runs."""
