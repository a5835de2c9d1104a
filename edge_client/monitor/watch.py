"""A monitoring put together: sensor, model, thresholds, and a broker to say it to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from edge_client.errors import EdgeError
from edge_client.monitor.alarm import Thresholds
from edge_client.monitor.dht11 import open_dht11
from edge_client.monitor.forecaster import Forecaster
from edge_client.monitor.loop import Monitor
from edge_client.monitor.publisher import Publisher
from edge_client.monitor.replay import Replay
from edge_client.monitor.report import Tally
from edge_client.monitor.schedule import Schedule
from edge_client.monitor.sensor import Sensor
from edge_client.monitor.topics import MonitorTopics
from edge_client.mqtt.broker import Broker


@dataclass(frozen=True)
class Setup:
    """What is monitored, and who is told."""

    forecaster: Forecaster
    sensor: Sensor
    thresholds: Thresholds
    broker: Broker
    topics: MonitorTopics
    interval_s: float = 1.0
    ahead: int = 1  # step of each forecast that is compared
    home_assistant: str = "homeassistant"  # prefix of its discovery; empty: none
    follow: Callable[[], Forecaster | None] = lambda: None  # another model to go on with


def open_sensor(sensor: str | None, replay: Path | None) -> Sensor:
    """The sensor (``dht11:GPIO4``) or the file in its place, one of which is named.

    Raises:
        EdgeError: it is not there, or cannot be read.
    """
    if sensor is not None:
        return open_dht11(sensor)
    if replay is not None:
        return Replay(replay)
    raise EdgeError("no sensor; name one with --sensor dht11:GPIO4, or a CSV with --replay")


def watch(
    setup: Setup,
    stop: Event,
    tell: Callable[[EdgeError], None],
    began: Callable[[Monitor], None],
) -> Tally:
    """Monitors until ``stop`` is set or a replay ends; then gives the sensor back.

    Args:
        setup: what.
        stop: ends it.
        tell: gets what is wrong, perhaps often and from any thread, while it goes on.
        began: gets the monitor once it runs; its thresholds may be replaced.

    Raises:
        EdgeError: the model fails, the broker's name is none, or there is no such step.
    """
    check_step(setup.ahead, setup.forecaster)
    publisher = Publisher(setup.broker, setup.topics, setup.home_assistant, tell)
    monitor = Monitor(
        setup.forecaster,
        setup.topics.device,
        setup.thresholds,
        publisher.sample,
        publisher.alarm,
        tell,
        setup.ahead,
        setup.follow,
    )
    try:
        with publisher:
            began(monitor)
            monitor.run(setup.sensor, Schedule(setup.interval_s).ticks(stop))
    finally:
        setup.sensor.close()
    monitor.tally.unsaid += publisher.unsaid
    return monitor.tally


def check_step(ahead: int, forecaster: Forecaster) -> None:
    """Raises :class:`EdgeError` for a step that the model does not forecast."""
    if not 1 <= ahead <= forecaster.output_steps:
        raise EdgeError(f"step {ahead}: {forecaster.name} forecasts 1 to {forecaster.output_steps}")
