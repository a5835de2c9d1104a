"""Kills a device in the middle of an update, again and again, and looks at what is left.

A process forked from one that has all imported runs the update; it counts the lines it executes
in ``edge_client/fleet`` and what the interpreter audits beside them (files opened for writing,
made, renamed, removed; processes started), and kills itself with SIGKILL at the n-th.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import edge_client.fleet
from edge_client.bundle import read_bundle
from edge_client.cli.messages import native_silence
from edge_client.errors import EdgeError
from edge_client.fleet.enrolment import Enrolment
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import Slots
from edge_client.fleet.update.updater import Updater
from edge_client.predictor import load_predictor
from edge_client.self_test import self_test
from tests.edge_client.fleet.repository import Repository, Served, enrol

MODEL = "tones"
_FLEET = str(Path(edge_client.fleet.__file__).parent)
_AUDITED = ("os.rename", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "subprocess.Popen")
_LONGEST_S = 120.0


@dataclass(frozen=True)
class Killed:
    """What one kill left."""

    point: int
    where: str  # of the undisturbed run at this point
    killed: bool  # False: the run had ended before
    active: str | None  # the version afterwards, if it works
    violation: str  # empty: none


class Kills:
    """A device on version 1, a repository that offers version 2, and one way of getting there."""

    def __init__(self, folder: Path, enrolment: Enrolment, base: Home, act: str) -> None:
        """Runs it undisturbed once.

        Args:
            folder: for the copies of the device.
            enrolment: of the device.
            base: its home before.
            act: ``update``, or ``back`` from the active version.
        """
        self._folder, self._enrolment, self._base, self._act = folder, enrolment, base, act
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.edge_client.fleet.kills"])
        copy = self._copy("whole")
        assert self._run(copy, None) == 0
        self.steps: list[str] = json.loads((copy.path / "steps.json").read_text())

    def spread(self, points: int) -> list[int]:
        """So many points, spread over all steps."""
        last = len(self.steps)
        return sorted({1 + round(i * (last - 1) / max(1, points - 1)) for i in range(points)})

    def kill(self, point: int) -> Killed:
        """Kills one copy of the device at one point, and looks at it."""
        home = self._copy(f"at-{point}")
        ended = self._run(home, point)
        active, violation = None, ""
        try:
            active = working(home, MODEL)
            if ended not in (0, -signal.SIGKILL):
                violation = f"the process ended with {ended}"
            else:
                violation = self._after(home)
        except (EdgeError, OSError) as error:
            violation = str(error)
        if not violation:
            shutil.rmtree(home.path)
        return Killed(point, self.steps[point - 1], ended == -signal.SIGKILL, active, violation)

    def _after(self, home: Home) -> str:
        """What is wrong with the next pull; empty when nothing is."""
        with Updater(self._enrolment, home) as updater:
            outcome = updater.update(MODEL)
        expected = {"update": {"active": "2"}, "back": {"rolled_back": "1", "active": "2"}}
        version = working(home, MODEL)
        if expected[self._act].get(outcome.state) != version:
            return f"the next pull is {outcome.state}, with {version}: {outcome.text}"
        left = [path.name for path in home.path.rglob("*") if _is_leftover(path)]
        return f"left behind: {', '.join(left)}" if left else ""

    def _copy(self, name: str) -> Home:
        path = self._folder / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self._base.path, path, symlinks=True)
        return Home(path)

    def _run(self, home: Home, point: int | None) -> int | None:
        process = self._context.Process(
            target=_device, args=(self._enrolment, home.path, self._act, point)
        )
        process.start()
        process.join(_LONGEST_S)
        return process.exitcode


def devices(folder: Path, served: Served, repository: Repository) -> Iterator[tuple[str, Kills]]:
    """A device that updates from 1 to 2, and one that goes back from 2 to 1."""
    enrolment, home = enrol(folder, repository, served.url)
    repository.offer("1")
    _bring(enrolment, home)
    repository.offer("2")
    yield "update", Kills(folder / "update", enrolment, home, "update")
    _bring(enrolment, home)
    yield "back", Kills(folder / "back", enrolment, home, "back")


def _bring(enrolment: Enrolment, home: Home) -> None:
    with Updater(enrolment, home) as updater:
        assert updater.update(MODEL).state == "active"


def working(home: Home, model: str) -> str:
    """The active version, after it has passed its golden inputs; raises where there is none."""
    slot = Slots(home, model).active()
    if slot is None or not slot.intact():
        raise EdgeError("no verified model is active")
    bundle = read_bundle(slot.bundle)
    with native_silence():
        self_test(bundle, load_predictor(bundle))
    if bundle.manifest.version != slot.version:
        raise EdgeError(f"{slot.version} is active, its bundle says {bundle.manifest.version}")
    return slot.version


def _is_leftover(path: Path) -> bool:
    return path.name.startswith((".", "tmp"))


def _device(enrolment: Enrolment, path: Path, act: str, point: int | None) -> None:
    """The process that is killed."""
    home = Home(path)
    steps: list[str] = []

    def step(where: str) -> None:
        steps.append(where)
        if len(steps) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    with _Counting(step):
        if act == "update":
            with Updater(enrolment, home) as updater:
                state = updater.update(MODEL).state
            assert state == "active"
        else:
            assert Slots(home, MODEL).back("crash", "it fell", "2") is not None
    if point is None:
        (path / "steps.json").write_text(json.dumps(steps))


class _Counting:
    """Calls back at every step of this process."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self._step, self._on = step, False
        sys.addaudithook(self._audit)

    def __enter__(self) -> None:
        self._on = True
        sys.settrace(self._trace)

    def __exit__(self, *_) -> None:
        sys.settrace(None)
        self._on = False

    def _trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(_FLEET):
            return None
        if event == "line":
            self._step(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return self._trace

    def _audit(self, event, arguments):
        if not self._on:
            return
        writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & 0b11
        if writing or event in _AUDITED:
            self._step(f"{event} {str(arguments[0])[-60:]}")
