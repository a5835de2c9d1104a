"""Registry and broker, killed in the middle of a fleet's update."""
