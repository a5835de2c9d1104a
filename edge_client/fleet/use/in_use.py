"""An installed model, as a process uses it: counted, watched in its first uses, and followed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Generic, TypeVar

from edge_client.audio import Float32, Int16
from edge_client.bundle.errors import BundleError
from edge_client.bundle.file import MAX_BUNDLE_BYTES, Bundle, read_bundle
from edge_client.errors import EdgeError
from edge_client.features.spec import AudioFeatures
from edge_client.files import read_input
from edge_client.fleet.errors import BundleRefused, CrashRefused, DeviceFailure, FleetError
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import InstalledSlot
from edge_client.fleet.use.limit import LONGEST_CALL_S, CallLimit
from edge_client.fleet.use.probation import FIRST_USES, Probation
from edge_client.fleet.use.usage import Page, open_page
from edge_client.interpreter import ModelError
from edge_client.predictor import AudioPredictor, Forecast, Latency, RecordPredictor, Scores

P = TypeVar("P")

_TRIES = 3


class NotInstalled(FleetError):
    """No model of this name is on the device."""


class ModelInUse(Generic[P]):
    """The active version of a model, loaded.

    As long as this is open, a process that dies inside the model counts as the model's crash, so
    every call of the model stands between :meth:`started` and :meth:`answered` or :meth:`failed`;
    :class:`InstalledAudio` and :class:`InstalledRecords` see to that.  A call that never comes back
    ends its process, see :class:`CallLimit`, and is a crash too.  In its first :data:`FIRST_USES`
    answers a version that crashes, fails or is too slow is given up for the one before it; later,
    one that keeps crashing, see :class:`Probation`.  For one thread.
    """

    def __init__(
        self,
        home: Home,
        model: str,
        load: Callable[[Bundle, ModelInUse[P]], P],
        tell: Callable[[object], None],
        longest_s: float = LONGEST_CALL_S,
    ) -> None:
        """Loads it.

        Args:
            home: of the device.
            model: its name.
            load: makes out of a bundle what is used.
            tell: gets what a person should know, a line each.
            longest_s: of the processor's time, for loading and for each answer.

        Raises:
            NotInstalled: there is no such model.
            DeviceFailure: what there is of it cannot be used.
            EdgeError: ``load`` cannot use it, nor the version before it.
        """
        self.model = model
        self._load, self._tell = load, tell
        self._probation = Probation(home, model)
        self._slot_file = home.model(model) / "active" / "slot.json"
        self._page: Page | None = None
        self._limit = CallLimit(longest_s)
        self._unwatched = False
        self._seen: tuple[int, int] | None = None
        self._on_probation = False
        self._open()

    def __enter__(self) -> ModelInUse[P]:
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops counting."""
        self.close()

    @property
    def name(self) -> str:
        """Model and version, for messages."""
        return f"{self.model} {self.version}"

    def follow(self) -> bool:
        """Loads another version, if another is active now; whether it did.

        It costs one look at a file while nothing has changed.  What cannot be loaded is told and
        given up; this version is used on.
        """
        if self._active_file() in (None, self._seen):
            return False
        before = self.version
        try:
            self._open()
        except EdgeError as error:
            self._seen = self._active_file()
            self._tell(f"{self.name} is used on: {error}")
            return False
        if self.version == before:
            return False
        self._tell(f"{self.name} is used from now on, instead of {before}")
        return True

    def started(self) -> None:
        """The model is about to run."""
        if self._page is not None:
            self._page.enter()
            self._limit.start()

    def answered(self, latency: Latency) -> None:
        """It has answered."""
        if self._page is None:
            return
        self._page.count(latency.total, latency.inference)
        self._leave()
        if self._on_probation and self._page.inferences % FIRST_USES == 0:
            self._judge()
            self._on_probation = self._probation.of(self.version)

    def failed(self, error: BaseException) -> None:
        """It has not; in its first uses that is reason enough to give the version up."""
        self._leave()
        # Whoever interrupts the process says nothing about the model.
        blamed = self._on_probation and isinstance(error, Exception)
        if blamed and self._guarded(
            lambda: self._probation.give_up(self.version, CrashRefused.reason, str(error))
        ):
            self._tell(f"{self.name} is given up: {error}")

    def close(self) -> None:
        """Stops counting; what was loaded may be used on, uncounted."""
        self._leave()
        if self._page is not None:
            self._page.close()
            self._page = None

    def _open(self) -> None:
        slots = self._probation.slots
        active = slots.active()
        failure = slots.journal.read().failure(active.version) if active else None
        if failure is not None and failure.rolled_back:
            # A going back that was cut short, if there is anything to go back to.
            self._guarded(lambda: slots.settle() is not None)
        self._judge()
        for _ in range(_TRIES):
            seen = self._active_file()
            slot = slots.active()
            if slot is None:
                raise NotInstalled(
                    f"{self.model}: no model of this name is installed; ml4iot-edge pull fetches it"
                )
            bundle = self._read(slot)
            if bundle is None:
                continue
            before, self._page = self._page, self._page_for(slot.version)
            try:
                self.started()
                used = self._load(bundle, self)
                self._leave()
            except EdgeError as error:
                self.close()
                self._page = before
                if not isinstance(error, ModelError) or not self._unusable(slot.version, error):
                    raise
                continue
            except BaseException:
                self.close()
                self._page = before
                raise
            if before is not None:
                before.close()
            self.bundle, self.predictor, self.version, self._seen = bundle, used, slot.version, seen
            self._on_probation = self._page is not None and self._probation.of(slot.version)
            return
        raise DeviceFailure(f"{self.model}: what is installed cannot be used; pull it again")

    def _read(self, slot: InstalledSlot) -> Bundle | None:
        """The verified bundle; None where another version, or none, is to be looked for."""
        try:
            data = read_input(slot.bundle, MAX_BUNDLE_BYTES, str(slot.bundle), DeviceFailure)
        except DeviceFailure:
            data = b""
        if hashlib.sha256(data).hexdigest() != slot.sha256:
            # Replaced as we read, or the disk has lost it.
            self._guarded(lambda: self._probation.slots.settle() is not None)
            return None
        try:
            return read_bundle(data, f"{self.model} {slot.version}")
        except BundleError as error:
            if not self._unusable(slot.version, error):
                raise
            return None

    def _unusable(self, version: str, error: EdgeError) -> bool:
        """Gives up what this client cannot load; whether there is another version instead."""
        given_up = self._guarded(
            lambda: self._probation.give_up(version, BundleRefused.reason, str(error))
        )
        if given_up:
            self._tell(f"{self.model} {version} is given up: {error}")
        return given_up

    def _page_for(self, version: str) -> Page | None:
        """Where uses of this version are counted; None where they cannot be, which is told once."""
        if self._unwatched:
            return None
        try:
            page = open_page(self._probation.pages, version)
            why = "too many processes use it"
        except OSError as error:
            page, why = None, error.strerror or str(error)
        if page is None:
            self._unwatched = True
            self._tell(f"{self.model}: uses by this process are not counted: {why}")
        return page

    def _leave(self) -> None:
        self._limit.stop()
        if self._page is not None:
            self._page.leave()

    def _judge(self) -> None:
        def judged() -> bool:
            why = self._probation.judge()
            if why is not None:
                self._tell(f"{self.model}: the active version is given up: {why}")
            return why is not None

        self._guarded(judged)

    def _guarded(self, act: Callable[[], bool]) -> bool:
        """What ``act`` says; False where this process may not change the slots."""
        try:
            return act()
        except (OSError, DeviceFailure) as error:
            if not self._unwatched:
                self._tell(f"{self.model}: {error}")
            return False

    def _active_file(self) -> tuple[int, int] | None:
        """Another value for every version that becomes active."""
        try:
            found = os.stat(self._slot_file)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


class InstalledAudio(AudioPredictor):
    """Classifies recordings with an installed model."""

    def __init__(
        self, bundle: Bundle, use: ModelInUse[P], name: str, features: AudioFeatures | None = None
    ) -> None:
        """Arguments as of :class:`AudioPredictor`, and the use to count for."""
        super().__init__(bundle, name, features)
        self._use = use

    def __call__(self, audio: Int16 | Float32, rate: int) -> Scores:
        try:
            self._use.started()
            scores = super().__call__(audio, rate)
        except BaseException as error:
            self._use.failed(error)
            raise
        self._use.answered(scores.latency)
        return scores


class InstalledRecords(RecordPredictor):
    """Forecasts records with an installed model."""

    def __init__(self, bundle: Bundle, use: ModelInUse[P], name: str) -> None:
        """Arguments as of :class:`RecordPredictor`, and the use to count for."""
        super().__init__(bundle, name)
        self._use = use

    def __call__(self, records: Float32) -> Forecast:
        try:
            self._use.started()
            forecast = super().__call__(records)
        except BaseException as error:
            self._use.failed(error)
            raise
        self._use.answered(forecast.latency)
        return forecast


def load_installed(
    bundle: Bundle, use: ModelInUse[AudioPredictor | RecordPredictor]
) -> AudioPredictor | RecordPredictor:
    """The predictor for whatever the model does; to be handed to :class:`ModelInUse`."""
    name = f"{bundle.manifest.name} {bundle.manifest.version}"
    kind = InstalledAudio if bundle.manifest.task == "keyword_spotting" else InstalledRecords
    return kind(bundle, use, name)
