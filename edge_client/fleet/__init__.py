"""How a device of a fleet gets its models: only signed ones, and never without a working one.

Shared with the registry: ``names``, ``paths`` and ``topics`` say what is called how, ``channel``
what a channel offers, ``report`` what a device says of itself, ``errors`` why an update is refused.
"""
