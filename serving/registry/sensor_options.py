"""The options that say what the registry's own host measures."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_client.monitor.dht11 import pin_of
from serving.options import UsageError
from serving.registry.options import SensorOptions


def add_sensor_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--sensor``, ``--replay`` and ``--interval``."""
    group = parser.add_argument_group(
        "monitoring on this host, which the coursework's /predict starts"
    )
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        "--sensor",
        metavar="dht11:GPIOn",
        help="a DHT-11 and its pin; one model at a time is monitored with",
    )
    source.add_argument(
        "--replay", type=Path, metavar="FILE.csv", help="records in place of a sensor"
    )
    group.add_argument(
        "--interval",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds from one sample to the next (default: %(default)g)",
    )


def sensor_of(arguments: argparse.Namespace) -> SensorOptions:
    """What was named.

    Raises:
        UsageError: an interval that can be none, or no such file.
        EdgeError: no such sensor.
    """
    if not 0.01 <= arguments.interval <= 86400:
        raise UsageError(f"--interval {arguments.interval:g}: 0.01 to 86400 seconds are taken")
    if arguments.sensor is not None:
        pin_of(arguments.sensor)
    if arguments.replay is not None and not arguments.replay.is_file():
        raise UsageError(f"--replay {arguments.replay}: no such file")
    replay = arguments.replay.resolve() if arguments.replay is not None else None
    return SensorOptions(arguments.sensor, replay, arguments.interval)
