"""A fleet of simulated devices, on one registry and one broker."""
