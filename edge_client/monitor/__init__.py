"""Watches temperature and humidity: forecasts them, and raises an alarm where they come otherwise.

``sensor`` says what a sensor is, ``dht11`` and ``replay`` are two, ``schedule`` says when they are
read, ``window`` what a forecast is made from, ``forecaster`` makes it, ``loop`` compares it with
what follows, ``alarm`` is what is said then, ``publisher`` says it over MQTT and ``printer`` to a
person; ``watch`` puts them together.
"""
