"""What devices measured of models: the last word of each device on each model file.

Kept by model and version, one file each. A version need not be in the registry: a candidate is
measured on a device so that the pipeline may judge it by that before anything is pushed.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from edge_client.fields import Fields, strict_json
from edge_client.files import write_whole
from edge_client.fleet.names import check_name
from edge_client.measurement import Measurement
from serving.registry.errors import ConflictError, StorageError
from serving.registry.log import log

FOLDER = "measurements"
MAX_MEASUREMENTS = 1000  # of one version; the oldest make room
MAX_FILES = 10_000
MAX_FILE_BYTES = MAX_MEASUREMENTS * 16 * 1024


class Measurements:
    """The measurements of a registry; safe to use from any thread."""

    def __init__(self, state: Path) -> None:
        """Raises `OSError` when the folder cannot be used."""
        self._folder = state / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._files = self._counted()

    def add(self, measurement: Measurement) -> None:
        """Takes a measurement in place of the device's last one of the same model file.

        Raises:
            ConflictError: measurements of too many versions are kept.
            StorageError: the disk does not take it.
        """
        path = self._path(measurement.model, measurement.version)
        with self._lock:
            new = not path.exists()
            if new and self._files >= MAX_FILES:
                self._files = self._counted()  # the operator may have removed some
            if new and self._files >= MAX_FILES:
                raise ConflictError(
                    f"measurements of {MAX_FILES} versions are kept, and of no more; remove files "
                    f"from the registry's state/{FOLDER}"
                )
            key = (measurement.device, measurement.model_sha256)
            others = [each for each in _read(path) if (each.device, each.model_sha256) != key]
            kept = [*others, measurement][-MAX_MEASUREMENTS:]
            text = json.dumps({"measurements": [each.to_json() for each in kept]})
            try:
                path.parent.mkdir(exist_ok=True)
                write_whole(path, text.encode() + b"\n")
            except OSError as error:
                raise StorageError(
                    f"the measurement cannot be written: {error.strerror or error}"
                ) from error
            self._files += new

    def of(self, model: str, version: str) -> list[Measurement]:
        """Those of one version, the one that came last at the end."""
        return _read(self._path(model, version))

    def of_model(self, model: str) -> list[Measurement]:
        """Those of all its versions, the newest at the end; the oldest of very many are left out.

        The same model file may be judged under one version and pushed under another.
        """
        folder = self._folder / check_name(model, "model")
        found: list[Measurement] = []
        for path in sorted(folder.glob("*.json"), key=_changed, reverse=True):
            found += _read(path)
            if len(found) >= MAX_MEASUREMENTS:
                break
        return sorted(found, key=lambda each: each.measured_at)[-MAX_MEASUREMENTS:]

    def _counted(self) -> int:
        return sum(1 for _ in self._folder.glob("*/*.json"))

    def _path(self, model: str, version: str) -> Path:
        check_name(version, "version")
        return self._folder / check_name(model, "model") / f"{version}.json"


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns


def _read(path: Path) -> list[Measurement]:
    """None of a file that is damaged: devices measure again."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
        with Fields(strict_json(data), path.name) as fields:
            values = fields.plain("measurements")
            return [Measurement.of(each) for each in values]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("%s: no measurements (%s)", path, error)
        return []
