"""Watches model folders: takes up new versions and lets go of old ones without a failed request.

A new version is loaded and warmed up beside the one that serves and only then takes its place; the
old one is closed when the last request on it is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from serving.embedded import saved_model, warmup
from serving.embedded.errors import Code, ServingError, invalid, not_found
from serving.embedded.metrics import ServerMetrics
from serving.embedded.model_config import ConfigError, ModelConfig, read
from serving.embedded.version_folders import Fingerprint, fingerprint, version_folders

POLL_INTERVAL_S = 0.2
MAX_ENDED_VERSIONS = 100

log = logging.getLogger("serving")


@dataclass
class Version:
    """One version of a model and where it is in its life.

    `state` is START, LOADING, AVAILABLE, UNLOADING or END; `error` says why it could not be loaded.
    """

    number: int
    folder: Path
    state: str = "START"
    error: ServingError | None = None
    seen: Fingerprint | None = None
    model: saved_model.SavedModel | None = None
    requests: int = 0


@dataclass
class ServedModel:
    """A configured model and its versions by number."""

    config: ModelConfig
    versions: dict[int, Version] = field(default_factory=dict)
    folder_missing: bool = False

    def available(self) -> list[Version]:
        """Versions that answer, newest first."""
        found = [version for version in self.versions.values() if version.state == "AVAILABLE"]
        return sorted(found, key=lambda version: version.number, reverse=True)


class VersionManager:
    """Keeps the versions in memory in step with the folders on disk.

    Requests take a `lease`; folders, and `config_file` where there is one, are looked at by a
    thread between `start` and `stop`.
    """

    def __init__(
        self,
        configs: Iterable[ModelConfig],
        metrics: ServerMetrics,
        config_file: Path | None = None,
    ) -> None:
        self._metrics = metrics
        self._config_file = config_file
        self._config_seen = _modified(config_file)
        self._models = {config.name: ServedModel(config) for config in configs}
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Loads what is there, then goes on watching in a thread."""
        self.poll(settle=False)
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops watching and closes all models; a request that still runs is cancelled."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for served in self._models.values():
            for version in served.available():
                version.state = "END"
                if version.model is not None:
                    version.model.close()

    def configure(self, configs: Iterable[ModelConfig]) -> None:
        """Takes another configuration; models that are no longer named are unloaded."""
        wanted = {config.name: config for config in configs}
        with self._lock:
            gone = [name for name in self._models if name not in wanted]
            leaving = [version for name in gone for version in self._models[name].available()]
            models = {}
            for name, config in wanted.items():
                served = self._models.get(name)
                if served is None or served.config.base_path != config.base_path:
                    leaving.extend(served.available() if served else [])
                    served = ServedModel(config)
                served.config = config
                models[name] = served
            self._models = models
        for version in leaving:
            self._unload(version)

    @contextmanager
    def lease(
        self, name: str, number: int | None, label: str | None
    ) -> Iterator[tuple[int, saved_model.SavedModel]]:
        """The version a request is for; it stays loaded until the request is done.

        Raises NOT_FOUND, or INVALID_ARGUMENT for a label that is not known.
        """
        with self._lock:
            version = self._find(name, number, label)
            model = version.model
            version.requests += 1
        try:
            assert model is not None  # the version was AVAILABLE while the lock was held
            yield version.number, model
        finally:
            with self._lock:
                version.requests -= 1
                if version.requests == 0 and version.state != "AVAILABLE":
                    self._idle.notify_all()

    def serves(self, name: str) -> bool:
        """Whether a model of that name is configured."""
        return name in self._models

    def any_available(self) -> bool:
        """Whether at least one version of one model answers."""
        return any(served.available() for served in self._models.values())

    def status(self, name: str, number: int | None) -> list[Version]:
        """Known versions of a model, newest first. Raises NOT_FOUND where there is none."""
        known = self.known_versions(name)
        if not known:
            raise not_found(f"Could not find any versions of model {name}")
        found = [version for version in known if number in (None, version.number)]
        if not found:
            raise not_found(f"Could not find version {number} of model {name}")
        return found

    def known_versions(self, name: str) -> list[Version]:
        """Versions that serve, have served or could not be loaded, newest first."""
        with self._lock:
            served = self._models.get(name)
            known = list(served.versions.values()) if served is not None else []
        return sorted(known, key=lambda version: version.number, reverse=True)

    def poll(self, settle: bool = True) -> None:
        """Looks at every model's folder once and loads and unloads what has changed.

        With `settle` a new version is loaded only once its files stopped changing since the last
        look, so that one which is still being copied is left alone.
        """
        self._read_config_again()
        for served in list(self._models.values()):
            self._reconcile(served, settle)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_INTERVAL_S):
            try:
                self.poll()
            except Exception:  # the watch must outlive whatever a folder holds
                log.exception("watching the model folders failed; trying again")

    def _read_config_again(self) -> None:
        modified = _modified(self._config_file)
        if self._config_file is None or modified in (None, self._config_seen):
            return
        self._config_seen = modified
        try:
            self.configure(read(self._config_file))
            log.info("%s: read again", self._config_file)
        except ConfigError as error:
            log.warning("the configuration stays as it was: %s", error)

    def _find(self, name: str, number: int | None, label: str | None) -> Version:
        served = self._models.get(name)
        if label is not None and served is not None:
            if label not in served.config.labels:
                raise invalid(f"Unrecognized servable version label: {label}")
            number = served.config.labels[label]
        available = served.available() if served is not None else []
        if number is None:
            if not available:
                raise not_found(f"Servable not found for request: Latest({name})")
            return available[0]
        for version in available:
            if version.number == number:
                return version
        raise not_found(f"Servable not found for request: Specific({name}, {number})")

    def _reconcile(self, served: ServedModel, settle: bool) -> None:
        folders = version_folders(served.config.base_path)
        if folders is None:
            # A folder that cannot be reached (a mount that went away) is no reason to stop serving.
            if not served.folder_missing:
                log.warning("%s: cannot read %s", served.config.name, served.config.base_path)
            served.folder_missing = True
            return
        served.folder_missing = False
        specific = served.config.policy.specific
        candidates = {
            number: folder
            for number, folder in folders.items()
            if specific is None or number in specific
        }
        wanted = self._wanted(served, candidates, settle)
        if candidates and not wanted:
            return  # nothing new is ready: whatever serves goes on serving
        for version in served.available():
            if version.number not in wanted:
                self._unload(version)
                log.info("%s: version %d ended", served.config.name, version.number)
        self._forget_ended(served, folders)

    def _wanted(self, served: ServedModel, candidates: dict[int, Path], settle: bool) -> set[int]:
        """Loads what the policy asks for, newest first; the numbers that are to serve now."""
        latest = served.config.policy.latest
        wanted: set[int] = set()
        for number in sorted(candidates, reverse=True):
            if latest is not None and len(wanted) >= latest:
                break
            if self._is_up(served, number, candidates[number], settle):
                wanted.add(number)
        return wanted

    def _is_up(self, served: ServedModel, number: int, folder: Path, settle: bool) -> bool:
        version = served.versions.get(number)
        if version is not None and version.state == "AVAILABLE":
            return True
        now = fingerprint(folder)
        ending = version is not None and version.state in ("UNLOADING", "END")
        if version is None or (ending and version.error is None):
            version = Version(number, folder)
            with self._lock:
                served.versions[number] = version
        unchanged = version.seen == now
        version.seen = now
        if version.error is not None and unchanged:
            return False
        if version.error is not None:
            version.error, version.state = None, "START"
        if settle and not unchanged:
            return False
        return self._load(served, version)

    def _load(self, served: ServedModel, version: Version) -> bool:
        name = served.config.name
        version.state = "LOADING"
        started = time.monotonic()
        path = str(version.folder)
        try:
            model = saved_model.load(version.folder)
            self._warm_up(model, version.folder)
        except ServingError as error:
            self._metrics.load_attempt_count.add(path, "fail")
            with self._lock:
                version.error, version.state = error, "END"
            others = ", ".join(str(other.number) for other in served.available())
            log.warning(
                "%s: version %d could not be loaded, %s: %s",
                name,
                version.number,
                f"version {others} goes on serving" if others else "nothing serves",
                error,
            )
            return False
        seconds = time.monotonic() - started
        self._metrics.load_attempt_count.add(path, "success")
        self._metrics.load_latency.add(path, amount=seconds * 1e6)
        with self._lock:
            version.model, version.state = model, "AVAILABLE"
        log.info("%s: version %d serves (loaded in %.1f s)", name, version.number, seconds)
        return True

    def _warm_up(self, model: saved_model.SavedModel, folder: Path) -> None:
        started = time.monotonic()
        try:
            warmup.warm_up(model, folder)
        except Exception as error:  # records come from anywhere and fail in any way
            model.close()
            message = f"{folder / warmup.WARMUP_FILE}: a warm-up request failed: {error}"
            raise ServingError(Code.FAILED_PRECONDITION, message) from error
        self._metrics.warmup_latency.observe(str(folder), "OK", seconds=time.monotonic() - started)

    def _unload(self, version: Version) -> None:
        """Takes a version out of service at once and closes it when its requests are done."""
        with self._lock:
            model, version.model = version.model, None
            version.state = "UNLOADING"
        closer = threading.Thread(target=self._close_when_idle, args=(version, model), daemon=True)
        closer.start()

    def _close_when_idle(self, version: Version, model: saved_model.SavedModel | None) -> None:
        with self._lock:
            self._idle.wait_for(lambda: version.requests == 0)
            version.state = "END"
        if model is not None:
            model.close()

    def _forget_ended(self, served: ServedModel, folders: dict[int, Path]) -> None:
        """Status lists what has ended, too; without a bound it would grow for ever."""
        with self._lock:
            ended = sorted(
                number
                for number, version in served.versions.items()
                if version.state == "END" and number not in folders
            )
            for number in ended[:-MAX_ENDED_VERSIONS]:
                del served.versions[number]


def _modified(path: Path | None) -> tuple[int, int] | None:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if status is not None else None
