"""The service: keeps the models of a device up to date, and says what it does.

One thread updates, the main one judges models in use and feeds the watchdog, MQTT has its own.
What is announced is a hint and no more: what the registry signed decides.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_client.cli.messages import say
from edge_client.errors import EdgeError
from edge_client.fleet.announcement import MAX_ANNOUNCEMENT_BYTES, Announcement
from edge_client.fleet.enrolment import Enrolment
from edge_client.fleet.errors import FleetError
from edge_client.fleet.installed.home import Home
from edge_client.fleet.service.in_use_report import InUseReport
from edge_client.fleet.service.reporter import Reporter
from edge_client.fleet.service.schedule import Schedule
from edge_client.fleet.service.systemd import Notifier
from edge_client.fleet.topics import Topics
from edge_client.fleet.update.updater import Outcome, Progress, Updater
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Arrived, Subscription, Will
from edge_client.run.interrupt import until_interrupted

TICK_S = 1.0
USAGE_S = 60.0
STUCK_S = 1800.0  # for one update; then the watchdog is not fed any more
_END_S = 5.0  # for an update under way to notice that we end


class _Ending(Exception):
    """The service ends; an update under way goes on from there when it is started again."""


class Watch:
    """The service of one device."""

    def __init__(
        self,
        enrolment: Enrolment,
        home: Home,
        tell: Callable[[object], None],
        notifier: Notifier | None = None,
    ) -> None:
        """Does nothing yet.

        Args:
            enrolment: of this device.
            home: of this device.
            tell: gets one line for every event.
            notifier: to the service manager.

        Raises:
            EdgeError: the enrolment's registry or broker is none.
        """
        self._enrolment, self._home, self._tell = enrolment, home, tell
        self._notifier = notifier or Notifier()
        self._topics = enrolment.broker.topics() if enrolment.broker else Topics()
        self._models = {each.model: each.channel for each in enrolment.models}
        self._reporter = Reporter(enrolment.device, self._topics, self._models)
        self._in_use = {
            model: InUseReport(home, model, self._reporter, self._say) for model in self._models
        }
        self._updater = Updater(enrolment, home, self._progress)
        self._broker = enrolment.broker.open() if enrolment.broker else None
        self._changed = threading.Condition()
        self._schedules = {model: Schedule(enrolment.poll_s) for model in self._models}
        self._busy: tuple[str, float] | None = None  # the model being updated, and since when
        self._ending = False
        self._said: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Serves until ``stop`` is set.

        Raises:
            EdgeError: the name of the broker is none a host can have, or the home cannot be made.
        """
        try:
            self._home.make()
        except OSError as error:
            raise FleetError(f"{self._home.path}: cannot be made: {error.strerror}") from None
        for report in self._in_use.values():
            report.look()
        worker = threading.Thread(target=self._update_all, name="updates", daemon=True)
        with self._connected():
            worker.start()
            self._notifier.ready()
            names = ", ".join(f"{model} ({channel})" for model, channel in self._models.items())
            self._say(
                "",
                f"{self._enrolment.device} follows {names} at {self._enrolment.registry}, "
                f"broker {self._broker or 'none'}",
            )
            self._tick(stop, worker)
            self._notifier.stopping()
            with self._changed:
                self._ending = True
                self._changed.notify_all()
            worker.join(_END_S)
        self._say("", "ended")

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Birth at the beginning, good-bye at the end; a broker that is away is waited for."""
        if self._broker is None:
            yield
            return
        connection = Connection(
            self._broker,
            "",
            [Subscription(self._topics.announcement(*each), 1) for each in self._models.items()],
            self._hint,
            MAX_ANNOUNCEMENT_BYTES,
            will=Will(self._reporter.status_topic, self._reporter.status(online=False)),
            on_ready=self._greet,
            on_lost=lambda: self._say("broker", f"broker {self._broker} is lost"),
            on_refused=lambda error: self._say("broker", str(error)),
            # The same after a restart: else the last will of a connection that the broker has not
            # missed yet would come after our birth.
            client_id=f"ml4iot-{self._enrolment.device}",
            patient=True,
        )

        def publish(topic: str, payload: bytes, qos: int, retain: bool) -> bool:
            # What is said without a broker is said by `greet`, once it is there.
            return connection.ready and connection.publish(topic, payload, qos, retain)

        self._reporter.connect(publish)
        with connection:
            yield

    def _tick(self, stop: threading.Event, worker: threading.Thread) -> None:
        """What is done every second, in the main thread."""
        usage_due = time.monotonic() + USAGE_S
        while not stop.is_set():
            busy = self._busy
            if not worker.is_alive():
                raise FleetError("the updates have stopped for no known reason; start it again")
            if busy is None or time.monotonic() - busy[1] < STUCK_S:
                self._notifier.alive()
            for model, report in self._in_use.items():
                if busy is None or busy[0] != model:
                    report.look()
            if time.monotonic() >= usage_due:
                usage_due = time.monotonic() + USAGE_S
                for report in self._in_use.values():
                    report.usage()
            stop.wait(TICK_S)

    def _greet(self) -> None:
        self._say("broker", f"broker {self._broker} is there")
        self._reporter.greet()

    def _hint(self, arrived: Arrived) -> None:
        said = self._topics.read(arrived.topic)
        if said is None or self._models.get(said.who) != said.what:
            return
        try:
            spread_s = Announcement.parse(arrived.payload).spread_s
        except FleetError:  # nonsense is a hint as well
            spread_s = 0.0
        with self._changed:
            self._schedules[said.who].hint(spread_s)
            self._changed.notify_all()

    def _update_all(self) -> None:
        """The thread that updates."""
        with self._updater as updater, contextlib.suppress(_Ending):
            while True:
                model = self._next()
                try:
                    self._updated(updater.update(model))
                    looked = True
                except EdgeError as error:
                    self._put_off(model, error)
                    looked = False
                except _Ending:
                    raise
                except Exception as error:  # whatever it is, the other models are still served
                    self._put_off(model, error)
                    looked = False
                with self._changed:
                    schedule = self._schedules[model]
                    (schedule.looked if looked else schedule.failed)()
                    self._busy = None
                with contextlib.suppress(FleetError):  # told when it is needed
                    updater.prepare()

    def _next(self) -> str:
        """Waits for the model that is due next."""
        with self._changed:
            while not self._ending:
                model = min(self._schedules, key=lambda each: self._schedules[each].wait_s())
                wait = self._schedules[model].wait_s()
                if not wait:
                    self._schedules[model].begin()
                    self._busy = (model, time.monotonic())
                    return model
                self._changed.wait(wait)
            raise _Ending

    def _progress(self, progress: Progress) -> None:
        if self._ending:
            raise _Ending
        self._reporter.progress(progress)
        if progress.state == "testing":
            self._notifier.status(f"{progress.model}: trying {progress.wanted} out")

    def _updated(self, outcome: Outcome) -> None:
        model, active = outcome.model, outcome.active
        self._in_use[model].seen()
        report = self._reporter.outcome(outcome)
        version = active.version if active else "none"
        if outcome.reason:
            self._say(model, f"{model}: {outcome.state}: {report.reason}; {version} stays")
        elif outcome.state == "idle":
            self._say(model, f"{model}: nothing is offered; {version} stays")
        elif outcome.before != version:
            self._say(model, f"{model}: {version} is active, instead of {outcome.before or 'none'}")
        else:
            self._say(model, f"{model}: {version} is active")

    def _put_off(self, model: str, error: Exception) -> None:
        self._reporter.put_off(model, error)
        self._say(model, f"{model}: put off: {error or type(error).__name__}")

    def _say(self, about: str, line: str) -> None:
        """Tells an event once, however often it is looked at again."""
        if about and self._said.get(about) == line:
            return
        self._said[about] = line
        with contextlib.suppress(OSError):  # a log on a full disk is no reason to stop serving
            self._tell(line)
        self._notifier.status(line)


def run_service(enrolment: Enrolment, home: Home) -> int:
    """Serves until SIGTERM or SIGINT; the exit status.  For the main thread only.

    Raises:
        EdgeError: as of :class:`Watch`.
    """
    with until_interrupted() as stop:
        Watch(enrolment, home, say).run(stop)
    return 0
