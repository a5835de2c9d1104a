"""What devices measured of models: the last word of each device on each model file.

Kept in memory and by device, one file each, so that no device takes the place of another. A version
need not be in the registry: a candidate is measured on a device so that the pipeline may judge it
by that before anything is pushed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from edge_client.fields import Fields, strict_json
from edge_client.files import write_whole
from edge_client.fleet.names import NAME, check_name
from edge_client.measurement import Measurement
from serving.registry.errors import ConflictError, StorageError
from serving.registry.log import log

FOLDER = "measurements"
# A device measures the candidates of a few runs: what is older is of files that are gone.
MAX_OF_DEVICE = 32
MAX_DEVICES = 10_000
MAX_ANSWER = 1000  # measurements, as many as ConstraintEvaluator takes
_MAX_FILE_BYTES = MAX_OF_DEVICE * 16 * 1024


class Measurements:
    """The measurements of a registry; safe to use from any thread."""

    def __init__(self, state: Path) -> None:
        """Takes up what is in the folder. Raises `OSError` when that cannot be used."""
        self._folder = state / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._of_device = {
            path.stem: _read(path)
            for path in sorted(self._folder.glob("*.json"))
            if NAME.fullmatch(path.stem)
        }

    def add(self, measurement: Measurement) -> None:
        """Takes a measurement in place of the device's last one of the same model file.

        The device's oldest makes room where it has sent too many.

        Raises:
            ConflictError: measurements of too many devices are kept.
            StorageError: the disk does not take it.
        """
        device = measurement.device
        path = self._path(device)
        with self._lock:
            if device not in self._of_device:
                self._make_room()
            others = [
                each
                for each in self._of_device.get(device, ())
                if _file(each) != _file(measurement)
            ]
            kept = [*others, measurement][-MAX_OF_DEVICE:]
            text = json.dumps({"measurements": [each.to_json() for each in kept]})
            try:
                write_whole(path, text.encode() + b"\n")
            except OSError as error:
                raise StorageError(
                    f"the measurement cannot be written: {error.strerror or error}"
                ) from error
            self._of_device[device] = kept

    def of(self, model: str, version: str) -> list[Measurement]:
        """Those of one version, the newest at the end; the oldest of very many are left out."""
        return self._chosen(lambda each: (each.model, each.version) == (model, version))

    def of_model(self, model: str) -> list[Measurement]:
        """Those of all its versions, the newest at the end; the oldest of very many are left out.

        The same model file may be judged under one version and pushed under another.
        """
        return self._chosen(lambda each: each.model == model)

    def _chosen(self, wanted: Callable[[Measurement], bool]) -> list[Measurement]:
        with self._lock:
            lists = list(self._of_device.values())
        # By how many the same device sent after it, for what it says of the time need not be true:
        # no device crowds out what another sent last.
        by_age = sorted(
            (
                (age, each)
                for of_device in lists
                for age, each in enumerate(filter(wanted, reversed(of_device)))
            ),
            key=lambda pair: pair[0],
        )[:MAX_ANSWER]
        by_age.sort(key=lambda pair: (pair[1].measured_at, pair[1].device, -pair[0]))
        return [each for _, each in by_age]

    def _make_room(self) -> None:
        """Raises `ConflictError` where there is none for another device."""
        if len(self._of_device) < MAX_DEVICES:
            return
        gone = [device for device in self._of_device if not self._path(device).exists()]
        for device in gone:  # the operator has removed them
            del self._of_device[device]
        if not gone:
            raise ConflictError(
                f"measurements of {MAX_DEVICES} devices are kept, and of no more; remove files "
                f"from the registry's state/{FOLDER}"
            )

    def _path(self, device: str) -> Path:
        return self._folder / f"{check_name(device, 'device')}.json"


def _file(measurement: Measurement) -> tuple[str, str, str]:
    """Which model file it is of."""
    return measurement.model, measurement.version, measurement.model_sha256


def _read(path: Path) -> list[Measurement]:
    """None of a file that is damaged: devices measure again."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES)
        with Fields(strict_json(data), path.name) as fields:
            values = fields.plain("measurements")
            return [Measurement.of(each) for each in values][-MAX_OF_DEVICE:]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("%s: no measurements (%s)", path, error)
        return []
