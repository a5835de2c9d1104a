"""The device as a service: when it looks, what it reports."""
