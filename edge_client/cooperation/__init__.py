"""Many devices that decide together, over MQTT.

``node`` answers, ``publisher`` asks and ``collector`` decides with what came in time; ``combine``
makes one answer of several, as ``ensemble`` says; ``topics`` and ``messages`` are the wire.
"""
