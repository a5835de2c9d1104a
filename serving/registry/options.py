"""What the registry is asked to do, checked before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_client.fleet.topics import DEFAULT_PREFIX
from edge_client.monitor.dht11 import pin_of
from edge_client.mqtt.broker import Broker
from serving.options import UsageError

MARK = "metadata/timestamp.json"  # what makes a folder a registry's


@dataclass(frozen=True)
class SensorOptions:
    """What the registry's own host measures; neither: nothing, and nothing can be monitored."""

    sensor: str | None = None  # such as dht11:GPIO4
    replay: Path | None = None  # records of a CSV in its place
    interval_s: float = 1.0

    def check(self) -> None:
        """Raises `UsageError` for what can be none, and `EdgeError` for no such kind of sensor."""
        if self.sensor is not None and self.replay is not None:
            raise UsageError("name a --sensor or a --replay, not both")
        if self.sensor is not None:
            pin_of(self.sensor)
        if self.replay is not None and not self.replay.is_file():
            raise UsageError(f"--replay {self.replay}: no such file")
        if not 0.01 <= self.interval_s <= 86400:
            raise UsageError(f"--interval {self.interval_s:g}: 0.01 to 86400 seconds are taken")


@dataclass(frozen=True)
class RegistryOptions:
    """One registry. `port` 0 picks a free one."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8600
    log_file: Path | None = None
    broker: Broker | None = None  # where channels are announced and devices are heard
    prefix: str = DEFAULT_PREFIX  # of all topics there
    sensor: SensorOptions = SensorOptions()

    def checked(self) -> RegistryOptions:
        """The same. Raises `UsageError`."""
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port {self.port}: a port is between 0 and 65535")
        check_folder(self.folder)
        self.sensor.check()
        return self


def check_folder(folder: Path) -> None:
    """Raises `UsageError` unless it is a registry's, and may be looked at."""
    try:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; make a registry with ml4iot-registry init")
        if not (folder / MARK).is_file():
            raise UsageError(
                f"{folder}: not a registry's folder; make one with ml4iot-registry init"
            )
    except OSError as error:  # another user's
        raise UsageError(f"{error.filename}: {error.strerror}") from error
